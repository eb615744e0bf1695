import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from weightcast.channels.awgn import AWGN
from weightcast.errors import FormatError
from weightcast.experiment.results import Results
from weightcast.experiment.runs import Run, run_of
from weightcast.setup import Setup

RUNS = [
    Run(model="a", model_digest="d", setup=Setup(channel=AWGN(std=std), draw=draw))
    for std in (0.1, 0.2, 0.3)
    for draw in range(2)
]


def test_results_are_there_after_a_restart_and_a_torn_line_is_not(tmp_path: Path) -> None:
    runs, path = RUNS, tmp_path / "results.jsonl"
    results = Results(path)
    for run in (runs[3], runs[1]):
        results.add(run, {"accuracy": run.setup.draw})
    whole = path.read_bytes()
    for n in range(1, 60, 7):
        path.write_bytes(whole + whole[:n])
        again = Results(path)
        assert [run in again for run in runs[:4]] == [False, True, False, True]
        assert again[runs[1]].figures["accuracy"] == runs[1].setup.draw
        assert path.read_bytes() == whole + whole[:n], "reading writes nothing"
    again.add(runs[0], {"accuracy": 1})
    assert path.read_bytes().startswith(whole)
    assert [run in Results(path) for run in runs[:4]] == [True, True, False, True]


def test_results_end_in_the_order_of_the_grid_whatever_the_order_of_work(tmp_path: Path) -> None:
    runs = RUNS[:6]
    forward, backward = Results(tmp_path / "a.jsonl"), Results(tmp_path / "b.jsonl")
    for results, order in ((forward, runs), (backward, runs[::-1])):
        for run in order:
            results.add(run, {"accuracy": 1})
        results.sort(runs)
    text = (tmp_path / "a.jsonl").read_text()
    assert text == (tmp_path / "b.jsonl").read_text()
    assert [run_of(json.loads(line)) for line in text.splitlines()] == runs


def test_nothing_is_lost_when_four_add_to_one_file_and_sort_it(tmp_path: Path) -> None:
    runs, path = RUNS, tmp_path / "results.jsonl"

    def work(mine: list[Run]) -> None:
        results = Results(path)
        for run in mine:
            results.add(run, {"accuracy": 1})
            results.sort(runs)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, [runs[i::4] for i in range(4)]))
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [run_of(row) for row in found] == runs


def test_another_file_of_the_same_name_is_another_run(tmp_path: Path) -> None:
    runs, results = RUNS, Results(tmp_path / "results.jsonl")
    results.add(runs[0], {"accuracy": 1})
    assert dataclasses.replace(runs[0], model_digest="another") not in results


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{}x\n", "line 1 is not a row of results"),
        (b"[]\n", "line 1 is not a row of results"),
        (b"{}\n", "line 1 is not a row of results: it has no 'model'"),
        (b"my only notes, no line end", "line 1 is not a row of results"),
        (b"\x08\0\0\0\0\0\0\0{}      ", "line 1 is not a row of results"),
        (b"\xff\xfe\n", "line 1 is not a row of results"),
    ],
)
def test_what_is_no_file_of_results_is_refused_and_left_as_it_is(
    tmp_path: Path, text: bytes, message: str
) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(text)
    with pytest.raises(FormatError, match=message):
        Results(path)
    assert path.read_bytes() == text


def test_a_last_row_without_a_line_end_counts_and_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Results(path).add(RUNS[0], {"accuracy": 1})
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    results = Results(path)
    assert RUNS[0] in results
    results.add(RUNS[1], {"accuracy": 2})
    assert [run in Results(path) for run in RUNS[:3]] == [True, True, False]


def test_sorting_touches_no_other_file_and_follows_a_link(tmp_path: Path) -> None:
    place, path, other = tmp_path / "elsewhere", tmp_path / "a.jsonl", tmp_path / "a.new"
    place.write_bytes(b"")
    place.chmod(0o640)
    path.symlink_to(place)
    other.write_text("somebody's")
    results = Results(path)
    for run in RUNS[1::-1]:
        results.add(run, {"accuracy": 1})
    results.sort(RUNS)
    assert other.read_text() == "somebody's" and path.is_symlink()
    assert place.stat().st_mode & 0o777 == 0o640
    assert [run_of(json.loads(line)) for line in place.read_text().splitlines()] == RUNS[:2]
    assert sorted(tmp_path.iterdir()) == [path, other, place]


def test_nested_rubbish_and_blank_lines_are_no_tracebacks(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Results(path).add(RUNS[0], {"accuracy": 1})
    path.write_bytes(b"\n" + path.read_bytes() + b"\r\n\n")
    assert RUNS[0] in Results(path)
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(FormatError, match="line 1 is not a row of results"):
        Results(path)
