"""What is new about the transmissions, for those who watch them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any

HEARTBEAT_S = 15.0


class Board:
    """The newest progress of each transmission, and a bell for those who watch it."""

    def __init__(self) -> None:
        self.progress: dict[str, dict[str, Any]] = {}
        self._bells: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def change(self, id_: str, progress: dict[str, Any] | None) -> None:
        """Note progress, or with None the end, and ring."""
        if progress is None:
            self.progress.pop(id_, None)
        else:
            self.progress[id_] = {k: progress[k] for k in ("phase", "done", "total")}
        self.ring(id_)

    def ring(self, id_: str) -> None:
        """Wake those who watch a transmission."""
        for bell in self._bells.get(id_, ()):
            bell.set()

    async def changes(self, id_: str) -> AsyncGenerator[bool]:
        """Yield True at once and at each change, False when nothing happened for a while."""
        bell = asyncio.Event()
        self._bells[id_].add(bell)
        try:
            yield True
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await bell.wait()
                    bell.clear()
                    yield True
                except TimeoutError:
                    yield False
        finally:
            self._bells[id_].discard(bell)
            if not self._bells[id_]:
                del self._bells[id_]
