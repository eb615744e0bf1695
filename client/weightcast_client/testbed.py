"""A receiver and a link of one's own, on free ports, for as long as a block lasts."""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from weightcast.errors import LinkError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


@contextmanager
def own_services(cache: Path, *, evaluate: bool) -> Iterator[tuple[str, str]]:
    """Start both services and yield (URL of the link, URL of the receiver); then stop them.

    They end when their standard input closes, so they cannot outlive this process, and their files
    are in a temporary folder that goes with them.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="weightcast-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        receiver = stack.enter_context(
            _service(
                "weightcast_server.cli",
                "run",
                f"--data={folder}",
                f"--cache={cache}",
                "--evaluate" if evaluate else "--no-evaluate",
            )
        )
        link = stack.enter_context(_service("weightcast_link.cli", f"--receiver={receiver}"))
        yield link, receiver


@contextmanager
def _service(module: str, *arguments: str) -> Iterator[str]:
    """Start a service on a free port and yield its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--port=0", "--attached"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        impatience = threading.Timer(START_TIMEOUT_S, process.kill)
        impatience.start()
        line = process.stdout.readline()
        impatience.cancel()
        if not line:
            raise LinkError(f"{module} did not start (code {process.wait()})")
        yield json.loads(line)["url"]
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
