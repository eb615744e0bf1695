"""Link and receiver as processes that can be killed, stopped and started again, behind proxies.

::

    sender ──> proxy ──> link ──> proxy ──> receiver

The proxies keep the addresses while the services behind them come and go.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from driver.calls import Caller
from driver.processes import freeze, go_on, memory_peak, stat_of, worker_of
from faults.proxy import FaultProxy, proxy_to

from weightcast_web.running.sockets import bind, url_of


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
        freeze(self.process.pid)

    def go_on(self) -> None:
        """Let it go on after `stop`."""
        go_on(self.process.pid)

    def cpu_s(self) -> float:
        """Return the CPU time it has used, in seconds."""
        user, system = stat_of(self.process.pid)[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def memory_peak(self) -> int:
        """Return the most memory it has had at once, in bytes."""
        return memory_peak(self.process.pid)

    def open_files(self) -> int:
        """Return how many files and connections it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def worker(self) -> int:
        """Return the worker of a receiver, as soon as it has one."""
        return worker_of(self.process.pid)

    def caller(self) -> Caller:
        """Return a caller of it, without a detour."""
        return Caller(base_url=self.url, timeout=60)

    def log(self) -> str:
        """Return what it has written to standard error, in all its lives."""
        return self._log.read_text()


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

    def caller(self) -> Caller:
        """Return a caller of the link through its proxy, as a sender is one."""
        return Caller(base_url=self.url, timeout=60)

    def parts(self, path: str) -> list[int]:
        """Return which parts of a transmission the receiver has, asked without a detour."""
        with self.receiver.caller() as receiver:
            parts: list[int] = receiver.there(path)["parts"]
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
