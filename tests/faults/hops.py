"""Link and receiver as processes that can be killed, stopped and started again, behind proxies.

::

    sender ──> proxy ──> link ──> proxy ──> receiver

The proxies keep the addresses while the services behind them come and go.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from faults.proxy import FaultProxy, proxy_to

from weightcast_web.running.sockets import bind, url_of

POLL_S = 0.01


def until(condition: Callable[[], bool], within_s: float = 60) -> None:
    """Return as soon as something that another process does has happened."""
    never = threading.Event()
    for _ in range(int(within_s / POLL_S)):
        if condition():
            return
        never.wait(POLL_S)
    raise TimeoutError(f"did not happen within {within_s} s")


class Hop:
    """A service behind a proxy.

    Args:
        words: module and arguments of its command.
        proxy: in front of it.
        log: file for what it writes to standard error.
        settings: for its environment.
    """

    def __init__(
        self, words: list[str], proxy: FaultProxy, log: Path, settings: dict[str, str]
    ) -> None:
        self._words, self._log, self._settings = words, log, settings
        self.proxy = proxy
        self.process: subprocess.Popen[bytes]

    def start(self, **settings: str) -> None:
        """Start it with these settings besides its own, and wait until it is ready."""
        with bind("127.0.0.1", 0) as listener, self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self._words, f"--attached={listener.fileno()}"],
                stdin=subprocess.PIPE,
                stderr=log,
                pass_fds=[listener.fileno()],
                env=os.environ | self._settings | settings,
            )
            self.url = url_of(listener)
        httpx.get(f"{self.url}/health/live", timeout=60)
        self.proxy.service = self.url

    def kill(self) -> None:
        """End it as a power failure does."""
        self.process.kill()
        self.wait()

    def wait(self, within_s: float = 60) -> int:
        """Wait for its end, whoever brings it about; return the exit code."""
        code = self.process.wait(within_s)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.proxy.service = None
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        self.process.terminate()

    def stop(self) -> None:
        """Make it stand still and wait until it does."""
        self.process.send_signal(signal.SIGSTOP)
        until(lambda: self._stat()[0] == "T")

    def go_on(self) -> None:
        """Let it go on after `stop`."""
        self.process.send_signal(signal.SIGCONT)

    def cpu_s(self) -> float:
        """Return the CPU time it has used, in seconds."""
        user, system = self._stat()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def memory_peak(self) -> int:
        """Return the most memory it has had at once, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    def open_files(self) -> int:
        """Return how many files and connections it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def log(self) -> str:
        """Return what it has written to standard error, in all its lives."""
        return self._log.read_text()

    def _stat(self) -> list[str]:
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        return text.rpartition(")")[2].split()


@dataclass(frozen=True, slots=True)
class Chain:
    """A link, its receiver, and the receiver's data folder."""

    link: Hop
    receiver: Hop
    data: Path

    @property
    def url(self) -> str:
        """Where a sender sends to."""
        return self.link.proxy.url

    def parts(self, path: str) -> list[int]:
        """Return which parts of a transmission the receiver has, asked without a detour."""
        parts: list[int] = httpx.get(f"{self.receiver.url}{path}/parts").json()["parts"]
        return parts


@contextmanager
def receiver_in(folder: Path, *words: str, **settings: str) -> Iterator[Hop]:
    """Yield a receiver that has not been started, with its data and its log in a folder.

    Args:
        folder: its data is in ``data`` there.
        words: further options of its command.
        settings: variables of its environment.
    """
    command = ["weightcast_server.cli", "run", f"--data={folder / 'data'}", *words]
    with proxy_to(None) as proxy:
        hop = Hop(command, proxy, folder / "receiver.log", settings)
        try:
            yield hop
        finally:
            hop.kill()


@contextmanager
def chain(folder: Path, **settings: str) -> Iterator[Chain]:
    """Run a `Chain`; arguments as for `receiver_in`."""
    with (
        receiver_in(folder, "--no-evaluate", **settings) as receiver,
        proxy_to(None) as front,
    ):
        receiver.start()
        command = ["weightcast_link.cli", f"--receiver={receiver.proxy.url}"]
        link = Hop(command, front, folder / "link.log", settings)
        link.start()
        yield Chain(link, receiver, folder / "data")
        link.kill()
