"""A receiver and a link of one's own, on free ports, for as long as a block lasts."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from weightcast import plugins
from weightcast.tasks import Task
from weightcast.tasks.cifar10 import Cifar10
from weightcast_client.settings import Settings
from weightcast_web.running.sockets import bind, url_of


@contextmanager
def own_services(settings: Settings, task: Task | None) -> Iterator[tuple[str, str]]:
    """Start both services and yield (URL of the link, URL of the receiver); then stop them.

    They are still starting when the block begins: calls wait until they listen. They end when their
    standard input closes, so they cannot outlive this process, and the receiver's files are in a
    temporary folder that goes with it.

    Args:
        settings: with the token that both demand, and the folder of data sets.
        task: what the receiver will evaluate; it prepares for the default one.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="weightcast-"))
        stack.callback(_remove, folder)
        receiver = stack.enter_context(
            _service(
                "weightcast_server.cli",
                "run",
                f"--data={folder}",
                f"--cache={settings.cache}",
                "--evaluate" if isinstance(task, Cifar10) else "--no-evaluate",
                "--forget",
                settings=settings,
            )
        )
        yield stack.enter_context(own_link(receiver, settings)), receiver


def _remove(folder: Path) -> None:
    """Delete a folder, although a process that was killed may still end a system call in it."""
    for _ in range(40):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


@contextmanager
def own_link(receiver: str, settings: Settings) -> Iterator[str]:
    """Start a link to a receiver and yield its URL; then stop it.

    Args:
        receiver: its URL.
        settings: with the token that the link demands, and shows to the receiver.
    """
    with _service("weightcast_link.cli", f"--receiver={receiver}", settings=settings) as url:
        yield url


@contextmanager
def _service(module: str, *arguments: str, settings: Settings) -> Iterator[str]:
    """Start a service on a free port and yield its URL; kill it and its children at the end."""
    with bind("127.0.0.1", 0) as listener:
        fd, url = listener.fileno(), url_of(listener)
        files = [f"--plugin={path}" for path in plugins.loaded()]
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, *files, f"--attached={fd}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[fd],
            env=settings.environment_of_services(),
            start_new_session=True,
        )
    try:
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
