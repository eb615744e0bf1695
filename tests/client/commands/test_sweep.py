import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
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
    assert [row["setup"]["draw"] for row in wanted] == [0, 1, 0, 1]
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


def test_noise_on_a_part_and_on_the_rest_add_up_to_noise_on_all(folder: Path) -> None:
    (folder / "sweep.toml").write_text(
        FILE.replace("draws = 2", 'noisy = ["*", "layer4.1.*", "!layer4.1.*"]')
    )
    rows = sweep(folder)
    assert [row["noisy"] for row in rows] == ["*", "*", *["layer4.1.*"] * 2, *["!layer4.1.*"] * 2]
    everywhere, part, rest = (
        np.array([r["weight_mse"] for r in rows[i : i + 2]]) for i in (0, 2, 4)
    )
    assert np.all(part > 0.1 * everywhere) and np.all(rest > 0.1 * everywhere)
    np.testing.assert_allclose(part + rest, everywhere, rtol=1e-6)


@pytest.mark.parametrize(
    ("noisy", "options", "message"),
    [
        ("fc", [], "noisy: 'resnet18-cifar10-l2' has no weights 'fc'"),
        ("linear.*", ["--over-http"], "a link disturbs all weights; leave out --over-http"),
    ],
)
def test_noise_that_cannot_be_is_refused(
    folder: Path, noisy: str, options: list[str], message: str
) -> None:
    (folder / "sweep.toml").write_text(f'noisy = "{noisy}"\n{FILE}')
    found = subprocess.run(
        [*CLIENT, "sweep", "sweep.toml", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode != 0 and message in found.stderr


def test_over_http_every_number_is_the_same(folder: Path) -> None:
    wanted = sweep(folder)
    (folder / "sweep.jsonl").unlink()
    assert sweep(folder, "--over-http") == wanted
