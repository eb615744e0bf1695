"""A worker process as its service sees it: lines in, lines out."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

MAX_LINE = 1 << 20


class WorkerProcess:
    """A worker that runs; it starts before the event loop does, to be ready sooner.

    Args:
        module: what it runs; its side of the lines is `weightcast_web.workers.lines`.
        arguments: of the module.
        environment: of the process; None is this one's.
    """

    def __init__(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        # An interrupt from the keyboard is for the service, which then ends its worker.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
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

    async def line(self, within_s: float | None = None) -> bytes:
        """Return its next line, nothing if it has ended; None waits for ever.

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

    def kill(self) -> None:
        """Kill it; its lines end."""
        self._process.kill()

    async def end(self) -> int:
        """Kill it and return its exit code."""
        self.kill()
        if self._pipe is not None:
            self._pipe.close()
        return await asyncio.to_thread(self._reap)

    def _reap(self) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait()
