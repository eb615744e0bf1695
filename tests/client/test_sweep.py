import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FILE = """
model = "resnet18-cifar10-l2"
draws = 2
n_images = 20
[schemes.unprotected]
[schemes.adaptive-redundancy]
[channels.awgn]
std = 0.1
"""
CLIENT = [sys.executable, "-m", "weightcast_client.cli"]
pytestmark = [pytest.mark.cifar, pytest.mark.slow]


def sweep(folder: Path, *options: str) -> list[dict[str, object]]:
    """Run the sweep to its end and return its lines without what may differ."""
    subprocess.run([*CLIENT, "sweep", "sweep.toml", *options], cwd=folder, check=True, timeout=300)
    rows = [json.loads(line) for line in (folder / "sweep.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seconds"], row["made_by"]
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sweep.toml").write_text(FILE)
    return tmp_path


def test_a_sweep_that_was_killed_ends_as_one_that_was_not(folder: Path) -> None:
    wanted = sweep(folder)
    assert [row["stream"] for row in wanted] == [0, 1, 0, 1]
    results = folder / "sweep.jsonl"
    results.unlink()
    process = subprocess.Popen([*CLIENT, "sweep", "sweep.toml", "--processes", "2"], cwd=folder)
    deadline = time.monotonic() + 120
    while not results.exists() and time.monotonic() < deadline:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = results.read_text().splitlines()[0]
    assert sweep(folder) == wanted
    assert first in results.read_text().splitlines(), "a run that was there has been done again"


def test_over_http_every_number_is_the_same(folder: Path) -> None:
    wanted = sweep(folder)
    (folder / "sweep.jsonl").unlink()
    assert sweep(folder, "--over-http") == wanted
