"""Runner: the sends, done by a worker process, oldest first."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from weightcast.errors import LinkError
from weightcast_client.service.store import UNFINISHED, Row, Store
from weightcast_client.service.telemetry import Telemetry
from weightcast_web.events.changes import Changes
from weightcast_web.refusal import Refusal
from weightcast_web.workers.keeping import MAX_TRIES, KeptWorker


class Runner:
    """Sends in a process of their own.

    Args:
        store: where sends wait and results go.
        changes: is told whatever is new.
        worker: does the work.
        forget: deletes a transmission at the receiver.
        telemetry: is told of what happens.
    """

    def __init__(
        self,
        store: Store,
        changes: Changes,
        worker: KeptWorker,
        forget: Callable[[str], None],
        telemetry: Telemetry,
    ) -> None:
        self._store, self._changes, self._worker = store, changes, worker
        self._forget, self._telemetry = forget, telemetry
        self._doing, self._began = "", 0.0
        self._has_leftovers = True
        self._tries: Counter[str] = Counter()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say that something may be queued."""
        self._wake.set()

    async def cancel(self, id_: str) -> None:
        """Take a send out of the queue, or end the work on it; refuse with 409 if it is over."""
        if await asyncio.to_thread(self._store.finish, id_, "cancelled"):
            if self._doing == id_:
                self._worker.process.kill()
            self._telemetry.cancelled(id_)
            self._changes.note(id_, None)
        row = await asyncio.to_thread(self._store.get, id_)
        if row.state != "cancelled":
            raise Refusal(409, "finished", f"the send is {row.state}")

    async def run(self) -> None:
        """Work until cancelled; then end the worker."""
        await self._worker.keep_busy(self._do_next)

    async def _do_next(self) -> None:
        """Do the send that has waited longest, or wait."""
        if self._has_leftovers:
            await self._clear()
        self._wake.clear()
        row = await asyncio.to_thread(self._store.next_unfinished)
        if row is None:
            await self._wake.wait()
        else:
            await self._work_on(row)

    async def _work_on(self, row: Row) -> None:
        self._doing = row.id
        try:
            if not await asyncio.to_thread(self._store.change, row.id, state="sending"):
                return
            self._began = time.monotonic()
            self._changes.wake(row.id)
            self._telemetry.sending(row.id)
            draws = await asyncio.to_thread(self._store.draws, row.id)
            with suppress(BrokenPipeError):
                await self._worker.process.order({"id": row.id, "body": row.body, "draws": draws})
            while text := await self._worker.process.line():
                if await self._note(row.id, json.loads(text)):
                    return
            await self._note_death(row.id, await self._worker.process.end())
        finally:
            self._doing = ""

    async def _note(self, id_: str, line: dict[str, Any]) -> bool:
        """Keep what the worker says; return whether it was its last word on this send."""
        match line:
            case {"phases": _}:
                self._changes.note(id_, line)
            case {"transmission": transmission}:
                self._telemetry.opened(id_, transmission)
                # Also when the send was cancelled meanwhile: then it is to be deleted.
                allowed = (*UNFINISHED, "cancelled")
                await asyncio.to_thread(self._store.change, id_, allowed, transmission=transmission)
            case {"arrived": result}:
                await asyncio.to_thread(self._store.add_draw, id_, result)
            case {"result": result}:
                if await self._finish(id_, "done", result=json.dumps(result)):
                    self._telemetry.done(id_, result, time.monotonic() - self._began)
                return True
            case {"error": error}:
                await self._fail(id_, error)
                return True
        return False

    async def _note_death(self, id_: str, code: int) -> None:
        """Decide what becomes of a send whose worker died or was killed."""
        if (await asyncio.to_thread(self._store.get, id_)).state == "cancelled":
            self._has_leftovers = True
            return
        self._tries[id_] += 1
        self._telemetry.worker_died(id_, code)
        if self._tries[id_] >= MAX_TRIES:
            error = {"kind": "WorkerDied", "detail": f"the worker died {MAX_TRIES} times over it"}
            await self._fail(id_, error)

    async def _fail(self, id_: str, error: dict[str, Any]) -> None:
        if await self._finish(id_, "failed", error=json.dumps(error)):
            self._telemetry.failed(id_, error)

    async def _finish(self, id_: str, state: str, **fields: Any) -> bool:
        """Keep the end of a send; return whether it was not cancelled meanwhile."""
        is_kept = await asyncio.to_thread(self._store.finish, id_, state, **fields)
        self._changes.note(id_, None)
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
                self._telemetry.left(row.id, row.transmission, error)
