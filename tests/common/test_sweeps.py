import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from weightcast.errors import FormatError, ParameterError, UnknownNameError
from weightcast.sweeps import Results, Run, Sweep, read_sweep

FILE = """
model = ["a", "b"]
draws = 2
seed = 7
n_images = 50
noisy = ["*", "!fc.*"]

[schemes.unprotected]
[schemes.adaptive-redundancy]
n_large = [1, 2]
r_large = 3

[channels.awgn]
std = [0.1, 1]
[channels.noiseless]
"""


def digest_of(model: str) -> str:
    return f"digest of {model}"


def runs_of(text: str, folder: Path) -> list[Run]:
    path = folder / "sweep.toml"
    path.write_text(text)
    return read_sweep(path).runs(digest_of)


def test_a_grid_holds_every_combination_once(tmp_path: Path) -> None:
    runs = runs_of(FILE, tmp_path)
    # 2 models, 2 patterns, 1 + 2 schemes, 2 + 1 channels, 2 draws
    assert len(runs) == 2 * 2 * 3 * 3 * 2 == len({run.key for run in runs})
    assert {run.seed for run in runs} == {7} and {run.stream for run in runs} == {0, 1}
    assert runs[-1] == Run(
        model="b",
        model_digest="digest of b",
        scheme="adaptive-redundancy",
        params={"n_large": 2, "r_large": 3},
        channel="noiseless",
        channel_params={},
        seed=7,
        stream=1,
        split="test",
        n_images=50,
        noisy="!fc.*",
    )


@pytest.mark.parametrize(
    ("noisy", "names"),
    [
        ("*", ["fc.weight", "layer4.1.conv1.weight", "layer4.0.conv1.weight"]),
        ("fc.weight", ["fc.weight"]),
        ("layer4.?.conv1.*", ["layer4.1.conv1.weight", "layer4.0.conv1.weight"]),
        ("!layer4.1.*", ["fc.weight", "layer4.0.conv1.weight"]),
        ("!*", []),
    ],
)
def test_noise_is_let_through_on_the_tensors_of_the_pattern(
    tmp_path: Path, noisy: str, names: list[str]
) -> None:
    run = dataclasses.replace(runs_of(FILE, tmp_path)[0], noisy=noisy)
    known = ["fc.weight", "layer4.1.conv1.weight", "layer4.0.conv1.weight"]
    assert [name for name in known if run.is_noisy(name)] == names


def test_results_without_a_pattern_are_those_of_noise_on_all_tensors(tmp_path: Path) -> None:
    runs, path = runs_of(FILE, tmp_path), tmp_path / "results.jsonl"
    row = dataclasses.asdict(runs[0])
    assert row.pop("noisy") == "*"
    path.write_text(json.dumps(row) + "\n")
    assert runs[0] in Results(path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("[schemes", "[["), FormatError, "is not TOML"),
        (("draws = 2", "draws = 0"), FormatError, "draws: .*greater than or equal to 1"),
        (("draws", "daws"), FormatError, "daws: Extra inputs"),
        (("[0.1, 1]", '["x"]'), FormatError, "channels.awgn.std"),
        (("[0.1, 1]", "[-1]"), ParameterError, "std must be in 0"),
        (("unprotected", "protected"), UnknownNameError, "no scheme 'protected'; known"),
        (("n_images = 50", "n_images = 10001"), ParameterError, "n_images must be at most 10000"),
        (("n_images = 50", 'split = "train"'), FormatError, "split: .*'test' or 'validation'"),
    ],
)
def test_a_broken_sweep_is_refused_before_anything_is_run(
    tmp_path: Path, change: tuple[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        runs_of(FILE.replace(*change), tmp_path)


def test_a_sweep_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot read the sweep '.*none.toml'"):
        read_sweep(tmp_path / "none.toml")


def test_all_images_of_a_split_are_taken_without_a_number() -> None:
    fields: dict[str, Any] = {"model": "a", "schemes": {"unprotected": {}}}
    fields["channels"] = {"noiseless": {}}
    assert Sweep(**fields).runs(digest_of)[0].n_images == 10_000
    assert Sweep(split="validation", **fields).runs(digest_of)[0].n_images == 5_000


def test_results_are_there_after_a_restart_and_a_torn_line_is_not(tmp_path: Path) -> None:
    runs, path = runs_of(FILE, tmp_path), tmp_path / "results.jsonl"
    results = Results(path)
    for run in (runs[3], runs[1]):
        results.add(run, {"accuracy": run.stream})
    whole = path.read_bytes()
    for n in range(1, 60, 7):
        path.write_bytes(whole + whole[:n])
        again = Results(path)
        assert [run in again for run in runs[:4]] == [False, True, False, True]
        assert again[runs[1]]["accuracy"] == runs[1].stream
        assert path.read_bytes() == whole


def test_results_end_in_the_order_of_the_grid_whatever_the_order_of_work(tmp_path: Path) -> None:
    runs = runs_of(FILE, tmp_path)[:6]
    forward, backward = Results(tmp_path / "a.jsonl"), Results(tmp_path / "b.jsonl")
    for results, order in ((forward, runs), (backward, runs[::-1])):
        for run in order:
            results.add(run, {"accuracy": 1})
        results.sort(runs)
    text = (tmp_path / "a.jsonl").read_text()
    assert text == (tmp_path / "b.jsonl").read_text()
    assert [json.loads(line)["stream"] for line in text.splitlines()] == [r.stream for r in runs]


def test_nothing_is_lost_when_four_add_to_one_file_and_sort_it(tmp_path: Path) -> None:
    runs, path = runs_of(FILE, tmp_path), tmp_path / "results.jsonl"

    def work(mine: list[Run]) -> None:
        results = Results(path)
        for run in mine:
            results.add(run, {"accuracy": 1})
            results.sort(runs)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, [runs[i::4] for i in range(4)]))
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [Run(**{k: row[k] for k in Run.__slots__}) for row in found] == runs


def test_another_file_of_the_same_name_is_another_run(tmp_path: Path) -> None:
    runs, results = runs_of(FILE, tmp_path), Results(tmp_path / "results.jsonl")
    results.add(runs[0], {"accuracy": 1})
    assert dataclasses.replace(runs[0], model_digest="another") not in results


def test_a_line_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("{}x\n")
    with pytest.raises(FormatError, match="line 1 is not JSON"):
        Results(path)
