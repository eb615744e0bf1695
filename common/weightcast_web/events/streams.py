"""Streams: server-sent events and other long answers, which end when the service does."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

FIELDS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""Of an answer with events, as FastAPI sets them: no proxy keeps it back or remembers it."""

_Piece = TypeVar("_Piece")


class Streams:
    """The open streams of a service."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()
        self._are_over = False

    def end(self) -> None:
        """End all of them, and those to come."""
        self._are_over = True
        for wait in self._waits:
            wait.reschedule(0)

    async def until_end(self, pieces: AsyncIterator[_Piece]) -> AsyncIterator[_Piece]:
        """Yield pieces as they come until there are no more or `end` is called."""
        while not self._are_over:
            try:
                async with asyncio.timeout(None) as wait:
                    self._waits.add(wait)
                    try:
                        piece = await anext(pieces)
                    finally:
                        self._waits.discard(wait)
            except (StopAsyncIteration, TimeoutError):
                return
            yield piece
