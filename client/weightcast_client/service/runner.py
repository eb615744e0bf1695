"""Keeps one worker process alive and has it do the sends, oldest first."""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from weightcast.errors import LinkError, WeightcastError
from weightcast_client.service.store import UNFINISHED, Row, Store
from weightcast_client.service.telemetry import Journal
from weightcast_web.events.changes import Board
from weightcast_web.refusal import Refusal
from weightcast_web.workers.process import WorkerProcess

MAX_TRIES = 2
PAUSE_S = 1.0
_log = logging.getLogger(__name__)


class Runner:
    """Does the sends in a process of their own.

    Args:
        store: where sends wait and results go.
        board: is told whatever is new.
        hire: starts a worker.
        forget: deletes a transmission at the receiver.
        journal: told of what happens.
        worker: the first one, if it runs already.
    """

    def __init__(
        self,
        store: Store,
        board: Board,
        hire: Callable[[], WorkerProcess],
        forget: Callable[[str], None],
        journal: Journal,
        worker: WorkerProcess | None = None,
    ) -> None:
        self._store, self._board, self._hire, self._forget = store, board, hire, forget
        self._journal, self._first = journal, worker
        self._worker: WorkerProcess
        self._doing, self._began = "", 0.0
        self._has_leftovers = True
        self._tries: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self.is_alive = False

    def wake(self) -> None:
        """Say that something may be queued."""
        self._wake.set()

    async def cancel(self, id_: str) -> None:
        """Take a send out of the queue, or end the work on it; refuse with 409 if it is over."""
        if await asyncio.to_thread(self._store.finish, id_, "cancelled"):
            if self._doing == id_:
                self._worker.kill()
            self._journal.cancelled(id_)
            self._board.change(id_, None)
        row = await asyncio.to_thread(self._store.get, id_)
        if row.state != "cancelled":
            raise Refusal(409, "finished", f"the send is {row.state}")

    async def run(self) -> None:
        """Work until cancelled; then end the worker."""
        self._worker = self._first or self._hire()
        self._journal.worker_started(is_first=True)
        self.is_alive = True
        try:
            while True:
                try:
                    if self._has_leftovers:
                        await self._clear()
                    if not self._worker.is_running:
                        await self._worker.end()
                        self._worker = self._hire()
                        self._journal.worker_started(is_first=False)
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
        self._doing = row.id
        try:
            if not await asyncio.to_thread(self._store.change, row.id, state="sending"):
                return
            self._began = time.monotonic()
            self._board.ring(row.id)
            self._journal.sending(row.id)
            draws = await asyncio.to_thread(self._store.draws, row.id)
            with suppress(BrokenPipeError):
                await self._worker.order({"id": row.id, "body": row.body, "draws": draws})
            while text := await self._worker.line():
                if await self._note(row.id, json.loads(text)):
                    return
            await self._mourn(row.id, await self._worker.end())
        finally:
            self._doing = ""

    async def _note(self, id_: str, line: dict[str, Any]) -> bool:
        """Keep what the worker says; return whether it was its last word on this send."""
        match line:
            case {"phases": _}:
                self._board.change(id_, line)
            case {"transmission": transmission}:
                self._journal.opened(id_, transmission)
                # Also when the send was cancelled meanwhile: then it is to be deleted.
                allowed = (*UNFINISHED, "cancelled")
                await asyncio.to_thread(self._store.change, id_, allowed, transmission=transmission)
            case {"arrived": result}:
                await asyncio.to_thread(self._store.add_draw, id_, result)
            case {"result": result}:
                if await self._finish(id_, "done", result=json.dumps(result)):
                    self._journal.done(id_, result, time.monotonic() - self._began)
                return True
            case {"error": error}:
                await self._fail(id_, error)
                return True
        return False

    async def _mourn(self, id_: str, code: int) -> None:
        """Decide what becomes of a send whose worker died or was killed."""
        if (await asyncio.to_thread(self._store.get, id_)).state == "cancelled":
            self._has_leftovers = True
            return
        self._tries[id_] += 1
        self._journal.worker_died(id_, code)
        if self._tries[id_] >= MAX_TRIES:
            error = {"kind": "WorkerDied", "detail": f"the worker died {MAX_TRIES} times over it"}
            await self._fail(id_, error)

    async def _fail(self, id_: str, error: dict[str, Any]) -> None:
        if await self._finish(id_, "failed", error=json.dumps(error)):
            self._journal.failed(id_, error)

    async def _finish(self, id_: str, state: str, **fields: Any) -> bool:
        """Keep the end of a send; return whether it was not cancelled meanwhile."""
        is_kept = await asyncio.to_thread(self._store.finish, id_, state, **fields)
        self._board.change(id_, None)
        return is_kept

    async def _clear(self) -> None:
        """Delete what cancelled sends have left at the receiver; what fails waits for a restart."""
        self._has_leftovers = False
        for row in await asyncio.to_thread(self._store.leftovers):
            assert row.transmission is not None
            try:
                await asyncio.to_thread(self._forget, row.transmission)
                gone: dict[str, Any] = {"transmission": None}
                await asyncio.to_thread(self._store.change, row.id, ("cancelled",), **gone)
            except LinkError as error:
                self._journal.left(row.id, row.transmission, error)
