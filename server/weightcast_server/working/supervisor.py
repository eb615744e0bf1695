"""Supervisor: what is queued, done by a worker process, oldest first."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from weightcast_server.storing.store import Store
from weightcast_server.storing.tables import Row
from weightcast_server.telemetry import Telemetry
from weightcast_web import failpoints
from weightcast_web.events.changes import Changes
from weightcast_web.refusal import Refusal
from weightcast_web.telemetry.logs import tell
from weightcast_web.workers.keeping import MAX_TRIES, PAUSE_S, KeptWorker

BEAT_S = 1.0
_log = logging.getLogger(__name__)


class Supervisor:
    """Decoding and evaluation in a process of their own.

    What it works on it has claimed in the store, under a lease that it renews every second or so.
    When it cannot renew it for ``lease_s`` seconds another receiver may take over; then it drops
    the work, and the store takes no result of it.

    Args:
        store: where transmissions wait and results go.
        folder_of: folder of a transmission by its id.
        worker: does the work.
        changes: is told whatever is new.
        telemetry: is told of what happens.
        silence_s: a worker that says nothing for so long while it works is killed.
        lease_s: how long others wait for a sign of life.
        poll_s: how often to look for what others have queued or left; None: there are no others.
    """

    def __init__(
        self,
        store: Store,
        folder_of: Callable[[str], Path],
        worker: KeptWorker,
        changes: Changes,
        telemetry: Telemetry,
        *,
        silence_s: float,
        lease_s: float,
        poll_s: float | None = None,
    ) -> None:
        self._store, self._folder_of, self._worker = store, folder_of, worker
        self._changes, self._telemetry = changes, telemetry
        self._silence_s, self._lease_s, self._poll_s = silence_s, lease_s, poll_s
        self._beat_s = min(BEAT_S, lease_s / 5)
        self._me = secrets.token_hex(16)
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say that something may be queued."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; then end the worker and let others do what is left."""
        try:
            await self._worker.keep_busy(self._do_next)
        finally:
            with suppress(Refusal):
                await asyncio.to_thread(self._store.release, self._me)

    async def _do_next(self) -> None:
        """Do what has waited longest, or wait."""
        try:
            self._wake.clear()
            claimed = await asyncio.to_thread(self._store.claim, self._me, self._lease_s)
            if claimed is not None:
                await self._work_on(*claimed)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()
        except Refusal as refusal:  # The database is away; the worker may be in the middle of it.
            tell(_log, "trying again", logging.WARNING, detail=refusal, in_s=PAUSE_S)
            await asyncio.sleep(PAUSE_S)

    async def _work_on(self, row: Row, parts: list[str]) -> None:
        await self._order(row, parts)
        clock = asyncio.get_running_loop().time
        heard = noted = clock()
        progress: dict[str, Any] = {}
        while True:
            line = await self._line()
            if line is not None:
                heard = clock()
            elif clock() - heard >= self._silence_s:
                tell(_log, "worker hangs", logging.WARNING, transmission=row.id)
                line = {}
            if line == {}:
                await self._note_death(row)
                return
            is_due = clock() - noted >= self._beat_s
            if line is not None and line["id"] == row.id:
                if "phase" not in line:
                    await self._finish(row, line)
                    return
                if line["phase"] != progress.get("phase"):
                    is_due = True
                    self._telemetry.phase(row.id, line["phase"])
                progress = {name: line[name] for name in ("phase", "done", "total")}
                self._changes.note(row.id, progress)
            if is_due:
                noted = clock()
                if not await self._is_mine(row, progress):
                    tell(_log, "taken over or deleted", logging.WARNING, transmission=row.id)
                    await self._worker.process.end()
                    self._changes.note(row.id, None)
                    return

    async def _order(self, row: Row, parts: list[str]) -> None:
        """Tell the worker what to do; one that has died is noticed at its first line."""
        order = {
            "id": row.id,
            "header": row.header,
            "folder": str(self._folder_of(row.id)),
            "parts": parts,
            "side": row.side_digest,
        }
        with suppress(BrokenPipeError):
            await self._worker.process.order(order)

    async def _line(self) -> dict[str, Any] | None:
        """Return what the worker says next, None if that takes too long, {} if it is dead."""
        try:
            text = await self._worker.process.line(self._beat_s)
        except TimeoutError:
            return None
        line: dict[str, Any] = json.loads(text or "{}")
        return line

    async def _is_mine(self, row: Row, progress: dict[str, Any]) -> bool:
        """Renew the lease; a database that does not answer has not given it to another."""
        try:
            return await asyncio.to_thread(
                self._store.note, row.id, self._me, self._lease_s, progress or None
            )
        except Refusal as refusal:
            about = {"transmission": row.id, "detail": refusal}
            tell(_log, "lease not renewed", logging.WARNING, **about)
            return True

    async def _finish(self, row: Row, line: dict[str, Any]) -> None:
        """Write the result, however long the database is away."""
        name = "report" if "report" in line else "error"
        state = "done" if name == "report" else "failed"
        text = {name: json.dumps(line[name])}
        failpoints.reach("reported")
        while True:
            try:
                finish = self._store.finish
                is_kept = await asyncio.to_thread(finish, row.id, self._me, state, **text)
                failpoints.reach("result-noted")
                break
            except Refusal as refusal:
                about = {"transmission": row.id, "detail": refusal}
                tell(_log, "result not written", logging.WARNING, **about)
                await asyncio.sleep(PAUSE_S)
        if is_kept:
            end = self._telemetry.done if state == "done" else self._telemetry.failed
            end(row.id, line[name])
        self._changes.note(row.id, None)

    async def _note_death(self, row: Row) -> None:
        """Note that a worker died over a transmission, which fails if that was one too many."""
        code = await self._worker.process.end()
        self._telemetry.worker_died(row.id, code)
        tries = await asyncio.to_thread(self._store.count_death, row.id, self._me)
        if tries >= MAX_TRIES:
            error = {"kind": "WorkerDied", "detail": f"the worker died {MAX_TRIES} times over it"}
            await self._finish(row, {"error": error})
