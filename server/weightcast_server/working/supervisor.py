"""Keeps one worker process alive and feeds it what is queued, oldest first."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from weightcast.errors import WeightcastError
from weightcast_server.storing.store import Store
from weightcast_server.storing.tables import Row
from weightcast_server.telemetry import Journal
from weightcast_web import failpoints
from weightcast_web.refusal import Refusal
from weightcast_web.telemetry.logs import tell
from weightcast_web.workers.process import WorkerProcess

MAX_TRIES = 2
PAUSE_S = 1.0
BEAT_S = 1.0
_log = logging.getLogger(__name__)


class Supervisor:
    """Runs decoding and evaluation in a process of their own.

    What it works on it has claimed in the store, under a lease that it renews every second or so.
    When it cannot renew it for ``lease_s`` seconds another receiver may take over; then it drops
    the work, and the store takes no result of it.

    Args:
        store: where transmissions wait and results go.
        folder_of: folder of a transmission by its id.
        hire: starts a worker.
        changed: called with an id and its progress whenever something is new.
        silence_s: a worker that says nothing for so long while it works is killed.
        journal: told of what happens.
        lease_s: how long others wait for a sign of life.
        poll_s: how often to look for what others have queued or left; None: there are no others.
        worker: the first one, if it runs already.
    """

    def __init__(
        self,
        store: Store,
        folder_of: Callable[[str], Path],
        hire: Callable[[], WorkerProcess],
        changed: Callable[[str, dict[str, Any] | None], None],
        silence_s: float,
        journal: Journal,
        lease_s: float,
        poll_s: float | None = None,
        worker: WorkerProcess | None = None,
    ) -> None:
        self._store, self._folder_of, self._hire = store, folder_of, hire
        self._changed, self._silence_s = changed, silence_s
        self._lease_s, self._beat_s = lease_s, min(BEAT_S, lease_s / 5)
        self._poll_s = poll_s
        self._me = secrets.token_hex(16)
        self._journal, self._first = journal, worker
        self._worker: WorkerProcess
        self._wake = asyncio.Event()
        self.is_alive = False

    def wake(self) -> None:
        """Say that something may be queued."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; then end the worker and let others do what is left."""
        self._worker = self._first or self._hire()
        self._journal.worker_started(is_first=True)
        self.is_alive = True
        try:
            while True:
                try:
                    await self._turn()
                except Refusal as refusal:
                    tell(_log, "trying again", logging.WARNING, detail=refusal, in_s=PAUSE_S)
                    await asyncio.sleep(PAUSE_S)
                except (WeightcastError, OSError, ValueError) as error:
                    # Trouble with the worker or the machine: what is queued stays queued.
                    _log.error("trying again in %s s", PAUSE_S, exc_info=error)
                    await self._worker.end()
                    await asyncio.sleep(PAUSE_S)
        finally:
            self.is_alive = False
            await self._worker.end()
            with suppress(Refusal):
                await asyncio.to_thread(self._store.release, self._me)

    async def _turn(self) -> None:
        """Do what has waited longest, or wait."""
        if not self._worker.is_running:
            await self._worker.end()
            self._worker = self._hire()
            self._journal.worker_started(is_first=False)
        self._wake.clear()
        claimed = await asyncio.to_thread(self._store.claim, self._me, self._lease_s)
        if claimed is not None:
            await self._work_on(*claimed)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._wake.wait()

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
                await self._bury(row)
                return
            is_due = clock() - noted >= self._beat_s
            if line is not None and line["id"] == row.id:
                if "phase" not in line:
                    await self._finish(row, line)
                    return
                if line["phase"] != progress.get("phase"):
                    is_due = True
                    self._journal.phase(row.id, line["phase"])
                progress = {name: line[name] for name in ("phase", "done", "total")}
                self._changed(row.id, progress)
            if is_due:
                noted = clock()
                if not await self._is_mine(row, progress):
                    tell(_log, "taken over or deleted", logging.WARNING, transmission=row.id)
                    await self._worker.end()
                    self._changed(row.id, None)
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
            await self._worker.order(order)

    async def _line(self) -> dict[str, Any] | None:
        """Return what the worker says next, None if that takes too long, {} if it is dead."""
        try:
            text = await self._worker.line(self._beat_s)
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
            end = self._journal.done if state == "done" else self._journal.failed
            end(row.id, line[name])
        self._changed(row.id, None)

    async def _bury(self, row: Row) -> None:
        """Note that a worker died over a transmission, which fails if that was one too many."""
        code = await self._worker.end()
        self._journal.worker_died(row.id, code)
        tries = await asyncio.to_thread(self._store.strike, row.id, self._me)
        if tries >= MAX_TRIES:
            error = {"kind": "WorkerDied", "detail": f"the worker died {MAX_TRIES} times over it"}
            await self._finish(row, {"error": error})
