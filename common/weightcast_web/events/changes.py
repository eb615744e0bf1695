"""Changes: what is new about things that take a while, for those who watch them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

LOOK_AGAIN_S = 15.0
"""How often those who watch look at least, in case they could not look when woken."""


class Changes:
    """The newest progress of each thing, and how those who watch it are woken."""

    def __init__(self) -> None:
        self.progress: dict[str, dict[str, Any]] = {}
        self._watching: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def note(self, id_: str, progress: dict[str, Any] | None) -> None:
        """Note progress, or with None the end, and wake those who watch."""
        if progress is None:
            self.progress.pop(id_, None)
        else:
            self.progress[id_] = {k: v for k, v in progress.items() if k != "id"}
        self.wake(id_)

    def wake(self, id_: str) -> None:
        """Wake those who watch a thing."""
        for event in self._watching.get(id_, ()):
            event.set()

    async def follow(self, id_: str, every_s: float = LOOK_AGAIN_S) -> AsyncGenerator[None]:
        """Yield at once, at each change, and after ``every_s`` seconds without one."""
        event = asyncio.Event()
        self._watching[id_].add(event)
        try:
            yield
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await event.wait()
                event.clear()
                yield
        finally:
            self._watching[id_].discard(event)
            if not self._watching[id_]:
                del self._watching[id_]
