"""The worker process as the receiver sees it: lines in, lines out."""

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from weightcast.learning.architectures import ARCHITECTURES
from weightcast_server.settings import Settings

MAX_LINE = 1 << 20


class WorkerProcess:
    """A worker that runs; it starts before the event loop does, to be ready sooner.

    Args:
        cache: folder of the test set.
        architecture: to prepare at the start, or None.
    """

    def __init__(self, cache: Path, architecture: str | None) -> None:
        command = [sys.executable, "-m", "weightcast_server.worker", str(cache)]
        self._process = subprocess.Popen(
            [*command, architecture or "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lines: asyncio.StreamReader | None = None
        self._pipe: asyncio.BaseTransport | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    async def order(self, order: dict[str, Any]) -> None:
        """Tell it what to do.

        Raises:
            BrokenPipeError: it has ended.
        """
        assert self._process.stdin is not None
        line = json.dumps(order).encode() + b"\n"
        await asyncio.to_thread(self._process.stdin.write, line)
        await asyncio.to_thread(self._process.stdin.flush)

    async def line(self, within_s: float) -> bytes:
        """Return its next line, nothing if it has ended.

        Raises:
            TimeoutError: it has been silent for too long.
        """
        if self._lines is None:
            self._lines = asyncio.StreamReader(MAX_LINE)
            protocol = asyncio.StreamReaderProtocol(self._lines)
            loop = asyncio.get_running_loop()
            self._pipe, _ = await loop.connect_read_pipe(lambda: protocol, self._process.stdout)
        async with asyncio.timeout(within_s):
            return await self._lines.readline()

    async def end(self) -> int:
        """Kill it and return its exit code."""
        self._process.kill()
        if self._pipe is not None:
            self._pipe.close()
        return await asyncio.to_thread(self._reap)

    def _reap(self) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait()


def hire(settings: Settings) -> WorkerProcess:
    """Start a worker; it prepares for the first architecture if it is to evaluate."""
    architecture = next(iter(ARCHITECTURES)) if settings.evaluate else None
    return WorkerProcess(settings.cache, architecture)
