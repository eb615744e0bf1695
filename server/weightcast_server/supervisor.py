"""Keeps one worker process alive and feeds it what is queued, oldest first."""

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weightcast_server.store import Row, Store

MAX_TRIES = 2
_log = logging.getLogger(__name__)


class Supervisor:
    """Runs decoding and evaluation in a process of their own.

    Args:
        store: where transmissions wait and results go.
        folder_of: folder of a transmission by its id.
        cache: folder of the test set.
        prepare: architecture to load at start, or None.
        changed: called with an id and its progress whenever something is new.
    """

    def __init__(
        self,
        store: Store,
        folder_of: Callable[[str], Path],
        cache: Path,
        prepare: str | None,
        changed: Callable[[str, dict[str, Any] | None], None],
    ) -> None:
        self._store, self._folder_of, self._cache = store, folder_of, cache
        self._prepare, self._changed = prepare, changed
        self._tries: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._worker: Process | None = None

    def wake(self) -> None:
        """Say that something may be queued."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; then end the worker."""
        try:
            await self._started()
            while True:
                self._wake.clear()
                row = await asyncio.to_thread(self._store.next_unfinished)
                if row is None:
                    await self._wake.wait()
                else:
                    await self._work_on(row)
        finally:
            if self._worker is not None and self._worker.returncode is None:
                self._worker.kill()
                await self._worker.wait()

    async def _started(self) -> Process:
        if self._worker is None or self._worker.returncode is not None:
            self._worker = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "weightcast_server.worker",
                str(self._cache),
                self._prepare or "-",
                stdin=PIPE,
                stdout=PIPE,
                limit=1 << 20,
            )
        return self._worker

    async def _work_on(self, row: Row) -> None:
        worker = await self._started()
        assert worker.stdin is not None and worker.stdout is not None
        order = {"id": row.id, "header": row.header, "folder": str(self._folder_of(row.id))}
        try:
            worker.stdin.write(json.dumps(order).encode() + b"\n")
            await worker.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            _log.warning("the worker is gone")
        while text := await worker.stdout.readline():
            line = json.loads(text)
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
        await worker.wait()
        self._tries[row.id] += 1
        _log.warning("the worker died over %s (code %s)", row.id, worker.returncode)
        if self._tries[row.id] >= MAX_TRIES:
            error = {"kind": "WorkerDied", "detail": f"the worker died {MAX_TRIES} times over it"}
            await asyncio.to_thread(self._set, row.id, state="failed", error=json.dumps(error))
            self._changed(row.id, None)

    def _set(self, id_: str, **fields: Any) -> None:
        self._store.change(id_, ("queued", "decoding", "evaluating"), **fields)
