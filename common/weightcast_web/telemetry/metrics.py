"""Metrics for Prometheus, with a registry per app and no label that a caller can choose."""

import asyncio
from time import perf_counter

from fastapi import FastAPI, Response
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weightcast_web.telemetry.health import Health

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
HTTP_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Timing:
    """Times of calls until their answers begin: the rest of a stream is no delay.

    Args:
        app: what is timed.
        seconds: by method, path as the route spells it, and status.
    """

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on and time it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else "other"
                path = getattr(scope.get("route"), "path", "none")
                labels = method, path, str(message["status"])
                self._seconds.labels(*labels).observe(perf_counter() - began)
            await send(message)

        await self._app(scope, receive, timed)


class Flights:
    """Places for parts that are worked on, counted; who finds none waits.

    Args:
        places: how many there are.
        registry: where to show how many are taken.
    """

    def __init__(self, places: int, registry: CollectorRegistry) -> None:
        self._places = asyncio.Semaphore(places)
        self._taken = Gauge("weightcast_flights", "Parts that have a place now.", registry=registry)

    async def __aenter__(self) -> None:
        """Take a place."""
        await self._places.acquire()
        self._taken.inc()

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self._taken.dec()
        self._places.release()


def new_registry() -> CollectorRegistry:
    """Return a registry that shows the memory, the processor time and the open files."""
    # When a counter began would be one more series for each.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def install(app: FastAPI, registry: CollectorRegistry, health: Health) -> None:
    """Time all calls and offer `/metrics`; a scrape waits no longer than a question of health."""
    seconds = Histogram(
        "weightcast_http_seconds",
        "Time until an answer began.",
        ["method", "path", "status"],
        buckets=HTTP_BUCKETS_S,
        registry=registry,
    )
    ready = Gauge("weightcast_ready", "Whether the service is ready.", registry=registry)
    app.add_middleware(Timing, seconds=seconds)

    @app.get("/metrics")
    async def metrics() -> Response:
        ready.set(await health.is_ready())
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})
