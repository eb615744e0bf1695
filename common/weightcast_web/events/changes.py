"""What is new about things that take a while, for those who watch them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

HEARTBEAT_S = 15.0
"""How often those who watch are told at least that somebody is there."""


class Board:
    """The newest progress of each thing, and a bell for those who watch it."""

    def __init__(self) -> None:
        self.progress: dict[str, dict[str, Any]] = {}
        self._bells: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def change(self, id_: str, progress: dict[str, Any] | None) -> None:
        """Note progress, or with None the end, and ring."""
        if progress is None:
            self.progress.pop(id_, None)
        else:
            self.progress[id_] = {k: v for k, v in progress.items() if k != "id"}
        self.ring(id_)

    def ring(self, id_: str) -> None:
        """Wake those who watch a thing."""
        for bell in self._bells.get(id_, ()):
            bell.set()

    async def changes(self, id_: str, every_s: float = HEARTBEAT_S) -> AsyncGenerator[bool]:
        """Yield True at once and at each change, False after ``every_s`` seconds without one."""
        bell = asyncio.Event()
        self._bells[id_].add(bell)
        try:
            yield True
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await bell.wait()
                is_new = bell.is_set()
                bell.clear()
                yield is_new
        finally:
            self._bells[id_].discard(bell)
            if not self._bells[id_]:
                del self._bells[id_]
