"""A sender that is interrupted or killed leaves nothing behind."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from driver.processes import descendants

from weightcast_web.running.command import INTERRUPTED


@contextmanager
def sending(scratch: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `client send` with a folder of its own for everything temporary."""
    # Tests that run in the background of a shell ignore interrupts, and children would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "weightcast_client.cli", "send", "--std=0.1", "--json", *words],
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def services_of(process: subprocess.Popen[str]) -> list[int]:
    """Return receiver, link and worker of a sender, as soon as they run."""
    while True:
        found: list[int] = descendants(process.pid)
        if len(found) == 3 or process.poll() is not None:
            return found


def have_ended(watches: list[int]) -> bool:
    """Whether these processes end within a while."""
    ended = all(select.select([watch], [], [], 30)[0] for watch in watches)
    for watch in watches:
        os.close(watch)
    return ended


MOMENTS = np.random.Generator(np.random.Philox(2)).uniform(0.3, 4, 5).round(2)


@pytest.mark.slow
@pytest.mark.parametrize("after_s", MOMENTS)
def test_an_interrupt_at_any_moment_leaves_no_process_and_no_file(
    after_s: float, tmp_path: Path
) -> None:
    with sending(tmp_path, "--no-evaluate", "--repeat=1000") as process:
        services_of(process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(after_s)
        services = descendants(process.pid)
        watches = [os.pidfd_open(pid) for pid in services]
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - began < 10
        assert (process.returncode, out, err) == (INTERRUPTED, "", "error: interrupted\n")
        assert have_ended(watches)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.cifar
@pytest.mark.slow
def test_an_interrupt_during_evaluation_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    with sending(tmp_path) as process:
        watches = [os.pidfd_open(pid) for pid in services_of(process)]
        while not list(tmp_path.glob("weightcast-*/transmissions/*/model.safetensors")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (INTERRUPTED, "", "error: interrupted\n")
        assert have_ended(watches)
        assert list(tmp_path.iterdir()) == []


def test_a_sender_that_is_killed_takes_its_services_and_their_files_along(
    small_path: Path, tmp_path: Path
) -> None:
    words = ("--no-evaluate", f"--model={small_path}", "--repeat=1000")
    with sending(tmp_path, *words) as process:
        watches = [os.pidfd_open(pid) for pid in services_of(process)]
        while not list(tmp_path.glob("weightcast-*/transmissions/*/parts/*")):
            assert process.poll() is None
        process.kill()
        assert have_ended(watches)
        assert not list(tmp_path.glob("*/transmissions"))
