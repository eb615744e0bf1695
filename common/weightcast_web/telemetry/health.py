"""Health: whether a service lives and is ready; asking never takes long."""

import asyncio
import math
from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from weightcast.errors import WeightcastError
from weightcast_web.refusal import Refusal

FRESH_S = 1.0
"""A check younger than this is not repeated."""
PATIENCE_S = 0.01
"""How long an answer waits for a check; a check that takes longer ends behind its back."""
LONG_PATIENCE_S = 4.0
"""How long a check may take where nothing is known without it: at first and after a long pause."""
STALE_S = 10.0
"""A check older than this says nothing any more."""


class Health:
    """The newest check of a service, repeated when somebody asks.

    Args:
        check: raises an error that says why the service is not ready.
    """

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        self._check = check
        self._task: asyncio.Task[None] | None = None
        self._trouble: tuple[str, str] | None = None
        self._began = self._ended = -math.inf

    async def look(self) -> None:
        """Return if the service is ready.

        Raises:
            Refusal: 503, it is not, or the check does not end.
        """
        if self._age_s() > FRESH_S:
            if self._task is None:
                self._began = self._now_s()
                self._task = asyncio.create_task(self._run())
            patience_s = PATIENCE_S
            if self._age_s() > STALE_S:
                patience_s = max(PATIENCE_S, self._began + LONG_PATIENCE_S - self._now_s())
            await asyncio.wait({self._task}, timeout=patience_s)
        if self._age_s() > STALE_S:
            raise Refusal(503, "check-hangs", "the check of this service does not end")
        if self._trouble is not None:
            raise Refusal(503, *self._trouble)

    async def is_ready(self) -> bool:
        """Whether it is; does not say why not."""
        try:
            await self.look()
        except Refusal:
            return False
        return True

    def _age_s(self) -> float:
        return self._now_s() - self._ended

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()

    async def _run(self) -> None:
        try:
            await self._check()
            self._trouble = None
        except Refusal as error:
            self._trouble = error.kind, str(error)
        except WeightcastError as error:
            self._trouble = "not-ready", str(error)
        finally:
            self._task = None
        self._ended = self._now_s()


def install(app: FastAPI, service: str, health: Health) -> None:
    """Offer `/health` and `/health/live`."""

    @app.get("/health")
    async def ready() -> dict[str, str]:
        await health.look()
        return {"service": service, "status": "ready"}

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"service": service, "status": "live"}
