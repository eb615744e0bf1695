"""Keeps one worker process alive and feeds it what is queued, oldest first."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weightcast.errors import WeightcastError
from weightcast_server.store import UNFINISHED, Row, Store
from weightcast_server.worker_process import WorkerProcess

MAX_TRIES = 2
PAUSE_S = 1.0
_log = logging.getLogger(__name__)


class Supervisor:
    """Runs decoding and evaluation in a process of their own.

    Args:
        store: where transmissions wait and results go.
        folder_of: folder of a transmission by its id.
        hire: starts a worker.
        worker: the first one, if it runs already.
        changed: called with an id and its progress whenever something is new.
        silence_s: a worker that says nothing for so long while it works is killed.
    """

    def __init__(
        self,
        store: Store,
        folder_of: Callable[[str], Path],
        hire: Callable[[], WorkerProcess],
        changed: Callable[[str, dict[str, Any] | None], None],
        silence_s: float,
        worker: WorkerProcess | None = None,
    ) -> None:
        self._store, self._folder_of, self._hire = store, folder_of, hire
        self._changed, self._silence_s = changed, silence_s
        self._first = worker
        self._worker: WorkerProcess
        self._tries: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self.is_alive = False

    def wake(self) -> None:
        """Say that something may be queued."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; then end the worker."""
        self._worker = self._first or self._hire()
        self.is_alive = True
        try:
            while True:
                try:
                    if not self._worker.is_running:
                        await self._worker.end()
                        self._worker = self._hire()
                    self._wake.clear()
                    row = await asyncio.to_thread(self._store.next_unfinished)
                    if row is None:
                        await self._wake.wait()
                    else:
                        await self._work_on(row)
                except (WeightcastError, OSError, ValueError) as error:
                    # Trouble with the database or the machine: what is queued stays queued.
                    _log.error("cannot work, trying again in %s s", PAUSE_S, exc_info=error)
                    await self._worker.end()
                    await asyncio.sleep(PAUSE_S)
        finally:
            self.is_alive = False
            await self._worker.end()

    async def _work_on(self, row: Row) -> None:
        order = {"id": row.id, "header": row.header, "folder": str(self._folder_of(row.id))}
        try:
            await self._worker.order(order)
        except BrokenPipeError:
            _log.warning("the worker is gone")
        while text := await self._line():
            line = json.loads(text)
            if line["id"] != row.id:
                continue
            if "phase" in line:
                fields = {"state": line["phase"]}
                if line["done"] == 0:
                    await asyncio.to_thread(self._set, row.id, **fields)
                self._changed(row.id, line)
                continue
            if "report" in line:
                await asyncio.to_thread(
                    self._set, row.id, state="done", report=json.dumps(line["report"])
                )
            else:
                await asyncio.to_thread(
                    self._set, row.id, state="failed", error=json.dumps(line["error"])
                )
            self._changed(row.id, None)
            return
        code = await self._worker.end()
        self._tries[row.id] += 1
        _log.warning("the worker died over %s (code %s)", row.id, code)
        if self._tries[row.id] >= MAX_TRIES:
            error = {"kind": "WorkerDied", "detail": f"the worker died {MAX_TRIES} times over it"}
            await asyncio.to_thread(self._set, row.id, state="failed", error=json.dumps(error))
            self._changed(row.id, None)

    async def _line(self) -> bytes:
        """Return the next line of the worker, or nothing if it is dead or hangs."""
        try:
            return await self._worker.line(self._silence_s)
        except TimeoutError:
            _log.warning("the worker hangs")
            return b""

    def _set(self, id_: str, **fields: Any) -> None:
        self._store.change(id_, UNFINISHED, **fields)
