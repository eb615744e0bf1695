"""The link's API: the receiver's own, passed through, with the channel applied to symbol parts."""

import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from weightcast.noise.gaussian import best_form
from weightcast_link import parts, passing
from weightcast_link.receiver import Receiver
from weightcast_link.settings import Settings
from weightcast_link.telemetry import Telemetry
from weightcast_web.events.streams import Streams
from weightcast_web.http import authority, problems
from weightcast_web.telemetry import health, metrics


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """Build the link.

    Args:
        settings: where the receiver is, and limits.
        transport: how to reach the receiver; None is the network.
    """
    registry = metrics.new_registry()
    telemetry = Telemetry(registry)
    flights = metrics.Flights(settings.max_flights, registry)
    threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="channel")
    receiver = Receiver(settings, telemetry, transport)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads.submit(best_form)  # Compiled code is loaded before the first part comes.
        yield
        await receiver.close()
        threads.shutdown()

    app = FastAPI(title="weightcast link", lifespan=lifespan, redirect_slashes=False)
    app.state.streams = streams = Streams()
    problems.install(app)
    authority.guard(app, settings.token)
    readiness = health.Health(receiver.check_ready)
    health.install(app, "link", readiness)
    metrics.install(app, registry, readiness)
    answers = passing.Answers(receiver, streams, telemetry)
    app.include_router(parts.router(receiver, answers, telemetry, flights, threads, settings))
    app.include_router(passing.router(receiver, answers, settings))
    return app
