"""Keeping a worker: one process that is started anew whenever it has ended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from weightcast.errors import WeightcastError
from weightcast_web.workers.process import WorkerProcess

MAX_TRIES = 2
"""Workers that may die over one task before it has failed."""
PAUSE_S = 1.0
"""After trouble, before the next try."""
_log = logging.getLogger(__name__)


class Started(Protocol):
    """A call that takes note of a worker that runs."""

    def __call__(self, *, is_first: bool) -> None:
        """Take note of it."""


class KeptWorker:
    """A worker process, kept alive for a service.

    Args:
        start: starts one.
        started: is told of each.
        first: one that runs already.
    """

    def __init__(
        self,
        start: Callable[[], WorkerProcess],
        started: Started,
        first: WorkerProcess | None = None,
    ) -> None:
        self._start, self._started, self._first = start, started, first
        self.process: WorkerProcess
        self.is_kept = False

    async def keep_busy(self, do_next: Callable[[], Awaitable[None]]) -> None:
        """Do one thing after the other with a worker that runs, until cancelled; then end it.

        Args:
            do_next: does the next thing, or waits for one. After trouble with the worker, the
                database or the machine it is called again a moment later, with a new worker.
        """
        self.process = self._first or self._start()
        self._started(is_first=True)
        self.is_kept = True
        try:
            while True:
                try:
                    if not self.process.is_running:
                        await self.process.end()
                        self.process = self._start()
                        self._started(is_first=False)
                    await do_next()
                except (WeightcastError, OSError, ValueError) as error:
                    _log.error("trying again in %s s", PAUSE_S, exc_info=error)
                    await self.process.end()
                    await asyncio.sleep(PAUSE_S)
        finally:
            self.is_kept = False
            await self.process.end()
