"""Views: transmissions as callers see them, as they stand now and as they change."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from weightcast.wire.header import PART_SYMBOLS
from weightcast_server.storing.store import Store, refuse_expired
from weightcast_server.storing.tables import FINISHED, Row
from weightcast_web.events.changes import LOOK_AGAIN_S, Changes
from weightcast_web.events.streams import Streams
from weightcast_web.refusal import Refusal


class TransmissionViews:
    """Views of the transmissions in a store.

    Args:
        store: the database.
        changes: what is new here.
        streams: those that are to end when the service stops.
        poll_s: how often to look for what other receivers do; None: there are no others.
    """

    def __init__(
        self, store: Store, changes: Changes, streams: Streams, poll_s: float | None
    ) -> None:
        self._store, self._changes, self._streams = store, changes, streams
        self._every_s = poll_s or LOOK_AGAIN_S

    async def row(self, id_: str) -> Row:
        """Return a transmission or refuse with 404."""
        if not re.fullmatch("[0-9a-f]{32}", id_):
            raise Refusal(404, "no-transmission", "no such transmission")
        return await asyncio.to_thread(self._store.get, id_)

    async def open_row(self, id_: str) -> Row:
        """Return a transmission whose parts are kept or refuse with 404, or 410 if it expired."""
        row = await self.row(id_)
        refuse_expired(row)
        return row

    async def resource(self, id_: str) -> dict[str, Any]:
        """Return a transmission as a caller sees it, or refuse with 404."""
        row = await self.row(id_)
        header = json.loads(row.header)
        return row.summary() | {
            "header": header,
            "progress": self._changes.progress.get(id_) or json.loads(row.progress or "null"),
            "parts": {
                "received": len(await asyncio.to_thread(self._store.parts, id_)),
                "total": -(-header["n_symbols"] // PART_SYMBOLS),
            },
        }

    async def events(self, id_: str) -> AsyncIterator[dict[str, Any]]:
        """Yield a transmission at each change until it is finished or forgotten."""
        shown: dict[str, Any] = {}
        async with aclosing(self._changes.follow(id_, self._every_s)) as changes:
            async for _ in self._streams.until_end(changes):
                try:
                    now = await self.resource(id_)
                except Refusal as refusal:
                    if refusal.status != 503:
                        return
                    continue  # The database is down; it will be back.
                if now != shown:
                    shown = now
                    yield {name: now[name] for name in now if name != "header"}
                if now["state"] in FINISHED:
                    return
