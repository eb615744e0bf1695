"""The sender service as an application: what it is made of."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from weightcast_client.calling.transport import transport_to
from weightcast_client.service import routes
from weightcast_client.service.bodies import SendBody
from weightcast_client.service.first import follow_first
from weightcast_client.service.runner import Runner
from weightcast_client.service.store import Store
from weightcast_client.service.telemetry import SendCounts, Telemetry
from weightcast_client.service.views import SendViews
from weightcast_client.service.worker_process import start_worker
from weightcast_client.settings import Settings
from weightcast_web.events.changes import Changes
from weightcast_web.events.streams import Streams
from weightcast_web.http import authority, problems
from weightcast_web.refusal import Refusal
from weightcast_web.running.background import background
from weightcast_web.telemetry import health, metrics
from weightcast_web.workers.keeping import KeptWorker
from weightcast_web.workers.process import WorkerProcess


def create_app(
    settings: Settings, worker: WorkerProcess | None = None, first: SendBody | None = None
) -> FastAPI:
    """Build the sender service.

    Args:
        settings: with a link, folders and limits.
        worker: one that runs already; None starts one with the app.
        first: a send that is done once, however often the service starts; its result is logged.
    """
    link = settings.link
    assert link is not None
    settings.data.mkdir(parents=True, exist_ok=True)
    store = Store(settings.data)
    changes, streams, registry = Changes(), Streams(), metrics.new_registry()
    telemetry, counts = Telemetry(registry), SendCounts(store.counts)
    registry.register(counts)

    def forget(transmission: str) -> None:
        with transport_to(link, settings, tries=1) as transport:
            transport.delete(transmission)

    kept = KeptWorker(lambda: start_worker(settings), telemetry.worker_started, worker)
    runner = Runner(store, changes, kept, forget, telemetry)
    app = FastAPI(title="weightcast sender", lifespan=_lifespan(runner, store, changes, first))
    app.state.streams = streams
    problems.install(app)
    authority.guard(app, settings.token)

    async def check() -> None:
        if not kept.is_kept:
            raise Refusal(503, "no-runner", "nothing is sent any more")
        await asyncio.to_thread(counts.look)

    readiness = health.Health(check)
    health.install(app, "sender", readiness)
    metrics.install(app, registry, readiness)
    views = SendViews(store, changes, streams)
    app.include_router(routes.router(settings, store, views, runner, telemetry))
    return app


def _lifespan(
    runner: Runner, store: Store, changes: Changes, first: SendBody | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = {"runner": runner.run()}
        if first is not None:
            tasks["first send"] = follow_first(first, store, changes, runner.wake)
        async with background(**tasks):
            yield
        store.close()

    return lifespan
