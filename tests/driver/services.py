"""The services: a receiver and a link to it, in this process or each in one of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from driver.calls import Caller
from driver.joined import Services, join
from driver.processes import worker_of


class Running(Caller):
    """A caller of a receiver or link that is a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        super().__init__(base_url=url, timeout=60)
        self.process, self.url = process, url

    @property
    def port(self) -> int:
        """Where it listens."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def worker(self) -> int:
        """Return the worker of a receiver, as soon as it is there."""
        return worker_of(self.process.pid)

    def kill(self) -> None:
        """End it as a power failure does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, wait for that and return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)


class Ends(NamedTuple):
    """What senders send over: a link and the receiver behind it, each a process of its own."""

    link: Running
    receiver: Running

    def states(self) -> dict[str, str]:
        """Return the states of the receiver's transmissions by id."""
        return {each["id"]: each["state"] for each in self.receiver.listed()}


@dataclass(frozen=True, kw_only=True)
class Driver:
    """Starts services. A receiver does not evaluate, and its data is in a folder.

    Args:
        database: the receivers' setting; empty: SQLite in the folder.
        lease_s: the receivers' setting, if it is not the usual one.
    """

    database: str = ""
    lease_s: float | None = None

    def join(
        self, data: Path, token: SecretStr | None = None, **settings: Any
    ) -> AbstractContextManager[Services]:
        """Run a receiver with these settings, and a link to it, in this process."""
        if self.lease_s is not None:
            settings["lease_s"] = self.lease_s
        return join(data, token, database=self.database, **settings)

    def receiver(
        self,
        data: Path,
        *,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> AbstractContextManager[Running]:
        """Run a receiver; ``env`` has further variables, ``prepare`` is done by its process."""
        variables = {"WEIGHTCAST_SERVER_DATABASE": self.database, **(env or {})}
        if self.lease_s is not None:
            variables["WEIGHTCAST_SERVER_LEASE_S"] = str(self.lease_s)
        words = ["weightcast_server.cli", "run", f"--data={data}", "--no-evaluate"]
        return _run(words, port, variables, prepare)

    def link(
        self, receiver: str, *, port: int = 0, env: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Running]:
        """Run a link to the receiver at a URL."""
        return _run(["weightcast_link.cli", f"--receiver={receiver}"], port, env or {}, None)

    @contextmanager
    def ends(self, data: Path, *, env: Mapping[str, str] | None = None) -> Iterator[Ends]:
        """Run a receiver and a link to it, both with these variables."""
        with self.receiver(data, env=env) as receiver, self.link(receiver.url, env=env) as link:
            yield Ends(link, receiver)


@contextmanager
def _run(
    words: list[str], port: int, env: Mapping[str, str], prepare: Callable[[], None] | None
) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", *words, f"--port={port}"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | env,
        preexec_fn=prepare,
    )
    assert process.stderr is not None
    logs = process.stderr
    url = next(line for line in logs if "listening on " in line).rpartition(" ")[2].strip(' "}\n')
    # A service whose logs nobody reads would stand still when the pipe is full.
    reader = threading.Thread(target=logs.read)
    reader.start()
    try:
        with Running(process, url) as caller:
            yield caller
    finally:
        process.terminate()
        process.wait(timeout=30)
        reader.join()
        logs.close()
