"""A receiver and a link of one's own, on free ports, for as long as a block lasts."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from weightcast import plugins
from weightcast.errors import BadUse
from weightcast.tasks import Task
from weightcast.tasks.cifar10 import Cifar10
from weightcast_client.settings import Settings
from weightcast_web.running.command import BAD_USE
from weightcast_web.running.sockets import bind, url_of


@contextmanager
def link_to(
    link: str | None, receiver: str | None, settings: Settings, task: Task | None
) -> Iterator[tuple[str, Settings]]:
    """Yield the URL of a link and the settings to call it with; start what is not there.

    Args:
        link: one that runs; None starts one.
        receiver: one that runs; None starts one, too, unless there is a link.
        settings: of the sender.
        task: as for `own_services`.
    """
    if link is not None:
        yield link, settings
        return
    settings = settings.with_token()
    with ExitStack() as stack:
        if receiver is not None:
            yield stack.enter_context(own_link(receiver, settings)), settings
        else:
            yield stack.enter_context(own_services(settings, task))[0], settings


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


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code of a process that has ended, or is about to."""
    try:
        return process.wait(timeout=0.3)
    except subprocess.TimeoutExpired:
        return None


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
    except BadUse:
        if _ended(process) == BAD_USE:
            raise SystemExit(BAD_USE) from None  # It has said itself what is wrong.
        raise
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
