"""Files of results as people have them: read, told what is wrong with them, never changed."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from weightcast.channels.awgn import AWGN
from weightcast.errors import FormatError
from weightcast.experiment.reading import Reading, read_rows
from weightcast.experiment.results import Results
from weightcast.experiment.runs import Run
from weightcast.setup import Setup
from weightcast.tasks.cifar10 import Cifar10

FIGURES: Any = {"uses_per_weight": 1.0, "all_in_uses_per_weight": 1.5, "weight_mse": 0.25}
RUNS = [
    Run(model="m", model_digest="d", setup=Setup(channel=AWGN(std=0.1), draw=draw))
    for draw in range(3)
]
SETUP = Setup(channel=AWGN(std=0.1), draw=4, task=Cifar10())
SENT: dict[str, Any] = {
    "transmission": "t",
    "model": "m.safetensors",
    "setup": SETUP.spec(),
    "n_weights": 7,
    "sdr_db": 10.0,
    "accuracy": 80.0,
    "clean_accuracy": 90.0,
    "n_images": 10_000,
    **FIGURES,
}
SEVERAL = SENT | {"transmissions": ["t", "u"], "accuracies": [70.0, 90.0]}


def read(path: Path, text: str | bytes) -> Reading:
    """Read a file with this text, and see that nothing is different afterwards."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def state() -> object:
        return path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir())

    before = state()
    try:
        return read_rows(path)
    finally:
        assert state() == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def lines(path: Path) -> str:
    """What a sweep of three runs writes."""
    results = Results(path)
    for run in RUNS:
        results.add(run, FIGURES)
    return path.read_text()


@pytest.mark.parametrize("change", ["{}", "{}\n\n", "\n{}", "\ufeff{}"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_rows_are_read_with_and_without_a_last_line_end(
    path: Path, lines: str, change: str, end: str
) -> None:
    rows, torn = read(path, change.format(lines.rstrip("\n")) + end)
    assert [row.run for row in rows] == RUNS and torn is None


def test_windows_line_ends_and_one_object_over_many_lines_are_read(path: Path, lines: str) -> None:
    assert len(read(path, lines.replace("\n", "\r\n")).rows) == 3
    first = json.loads(lines.splitlines()[0])
    assert [row.run for row in read(path, json.dumps(first, indent=2)).rows] == RUNS[:1]


def test_a_torn_last_line_is_told(path: Path, lines: str) -> None:
    for cut in (1, 5, 40, len(lines.splitlines()[0]) - 1):
        rows, torn = read(path, lines + lines[:cut])
        assert len(rows) == 3 and torn == 4
    assert read(path, lines + json.dumps(SENT)[:30]).torn == 4


def test_sends_are_rows_too_one_for_each_draw(path: Path) -> None:
    rows, _ = read(path, json.dumps(SENT) + "\n" + json.dumps(SEVERAL | {"n_weights": 8}) + "\n")
    assert [row.run.setup.draw for row in rows] == [4, 4, 5]
    assert [row.figures["accuracy"] for row in rows] == [80.0, 70.0, 90.0]
    assert {row.run.model for row in rows} == {"m.safetensors"}
    assert len(read(path, json.dumps(SEVERAL, indent=2)).rows) == 2


def test_a_send_that_was_done_twice_counts_once(path: Path) -> None:
    assert len(read(path, f"{json.dumps(SENT)}\n{json.dumps(SENT)}\n").rows) == 1


def test_draws_without_accuracy_are_counted(path: Path) -> None:
    bare = {k: v for k, v in SEVERAL.items() if k != "accuracies"} | {"accuracy": None}
    assert [row.run.setup.draw for row in read(path, json.dumps(bare)).rows] == [4, 5]


def test_a_pipe_is_read(path: Path, lines: str) -> None:
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(lines,))
    writer.start()
    assert len(read_rows(pipe).rows) == 3
    writer.join()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"my only notes, no line end", "is not a file of results: it begins with b'my only '"),
        (b"\x10\0\0\0\0\0\0\0{}", "is not a file of results: it begins with"),
        (b"[1]", "is not a file of results"),
        (b'{"a": 1}', "line 1 is not a row of results: it has no 'model'"),
        (b'{"a"', "line 1 is not a row of results"),
        (b'{"a": ' + b"[" * 100_000, "line 1 is not a row of results"),
        (b'{"transmission": 1}', "line 1 is not what a send has printed: it has no setup"),
    ],
)
def test_what_is_no_file_of_results_is_refused(path: Path, text: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        read(path, text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uses_per_weight": None}, "uses_per_weight must be a number, got None"),
        ({"weight_mse": "x"}, "weight_mse must be a number, got 'x'"),
        ({"sdr_db": [1]}, r"sdr_db must be a number, got \[1\]"),
        ({"all_in_uses_per_weight": 10**400}, "all_in_uses_per_weight must be a number"),
        ({"accuracy": True, "clean_accuracy": 1}, None),
        ({"clean_accuracy": None}, "it has an accuracy, but no clean_accuracy"),
        ({"model": ["m"]}, r"model must be a text, got \['m'\]"),
        ({"setup": SETUP.spec() | {"channel": "carrier-pigeon"}}, "no channel 'carrier-pigeon'"),
        ({"setup": SETUP.spec() | {"draw": -1}}, "draw must be"),
        ({"setup": []}, "it has no setup with a draw"),
        ({"accuracies": ["x", "y"]}, "accuracy must be a number, got 'x'"),
        ({"transmissions": 5, "accuracies": None}, None),
    ],
)
def test_a_row_with_other_figures_is_refused_by_name(
    path: Path, change: dict[str, Any], said: str | None
) -> None:
    text = json.dumps(SENT | change)
    if said is None:
        assert len(read(path, text).rows) == 1
        return
    with pytest.raises(FormatError, match=f"results.jsonl': line 1.*{said}"):
        read(path, text)


def test_what_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    for path, said in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "Is a directory"),
        (Path("/dev/zero"), "it is not a file"),
    ):
        with pytest.raises(FormatError, match=f"cannot read the results '{path}': {said}"):
            read_rows(path)
