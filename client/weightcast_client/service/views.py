"""Views: sends as callers see them, as they stand now and as they change."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from weightcast_client.service.store import FINISHED, Row, Store
from weightcast_web.events.changes import Changes
from weightcast_web.events.streams import Streams
from weightcast_web.refusal import Refusal


class SendViews:
    """Views of the sends in a store.

    Args:
        store: the database.
        changes: what is new.
        streams: those that are to end when the service stops.
    """

    def __init__(self, store: Store, changes: Changes, streams: Streams) -> None:
        self._store, self._changes, self._streams = store, changes, streams

    async def row(self, id_: str) -> Row:
        """Return a send or refuse with 404."""
        if not re.fullmatch("[0-9a-f]{32}", id_):
            raise Refusal(404, "no-send", "no such send")
        return await asyncio.to_thread(self._store.get, id_)

    async def resource(self, id_: str) -> dict[str, Any]:
        """Return a send with its progress, or refuse with 404."""
        return (await self.row(id_)).summary() | {"progress": self._changes.progress.get(id_)}

    async def events(self, id_: str) -> AsyncIterator[dict[str, Any]]:
        """Yield a send at each change until it is over."""
        shown: dict[str, Any] = {}
        async with aclosing(self._changes.follow(id_)) as changes:
            async for _ in self._streams.until_end(changes):
                try:
                    now = await self.resource(id_)
                except Refusal:
                    return
                if now != shown:
                    shown = now
                    yield now
                if now["state"] in FINISHED:
                    return
