"""The receiver as an application: what it is made of."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from weightcast.errors import ParameterError
from weightcast_server.readiness import Readiness
from weightcast_server.receiving.intake import Intake
from weightcast_server.routes import arrivals, results, transmissions
from weightcast_server.routes.collaborators import Collaborators
from weightcast_server.routes.views import TransmissionViews
from weightcast_server.settings import Settings
from weightcast_server.storing.database import open_store
from weightcast_server.storing.housekeeping import STALE_S, delete_leftovers, run_housekeeping
from weightcast_server.storing.store import Store
from weightcast_server.telemetry import Telemetry
from weightcast_server.working.supervisor import Supervisor
from weightcast_server.working.worker_process import start_worker
from weightcast_web import failpoints
from weightcast_web.events.changes import Changes
from weightcast_web.events.streams import Streams
from weightcast_web.http import authority, problems
from weightcast_web.running.background import background
from weightcast_web.telemetry import health, metrics
from weightcast_web.workers.keeping import KeptWorker
from weightcast_web.workers.process import WorkerProcess

POLL_S = 1.0
"""How often to look at the database for what other receivers do."""


def create_app(
    settings: Settings, store: Store | None = None, worker: WorkerProcess | None = None
) -> FastAPI:
    """Build the receiver.

    Args:
        settings: folders and limits.
        store: the database; None opens the one that the settings name.
        worker: one that runs already; None starts one with the app.
    """
    if settings.failpoint and settings.production:
        raise ParameterError("production has no failpoints: unset WEIGHTCAST_SERVER_FAILPOINT")
    failpoints.arm(settings.failpoint)
    root = settings.data / "transmissions"
    root.mkdir(parents=True, exist_ok=True)
    store = store or open_store(settings)
    registry, streams = metrics.new_registry(), Streams()
    telemetry = Telemetry(registry)
    kept = KeptWorker(lambda: start_worker(settings), telemetry.worker_started, worker)
    own = _collaborators(settings, store, root, kept, telemetry, streams, registry)
    can_work = Readiness(store, settings.data, settings.spare_bytes, lambda: kept.is_kept)
    registry.register(can_work)
    delete_leftovers(store, root, STALE_S if store.is_shared else 0)
    app = FastAPI(
        title="weightcast receiver",
        lifespan=_lifespan(own, root, can_work.close),
        redirect_slashes=False,
    )
    app.state.streams = streams
    problems.install(app)
    authority.guard(app, settings.token)
    readiness = health.Health(can_work.check)
    health.install(app, "receiver", readiness)
    metrics.install(app, registry, readiness)
    for routes in (transmissions, arrivals, results):
        app.include_router(routes.router(own))
    return app


def _collaborators(
    settings: Settings,
    store: Store,
    root: Path,
    worker: KeptWorker,
    telemetry: Telemetry,
    streams: Streams,
    registry: CollectorRegistry,
) -> Collaborators:
    poll_s = POLL_S if store.is_shared else None
    changes = Changes()
    intake = Intake(store, root, settings)
    supervisor = Supervisor(
        store,
        lambda id_: intake.folder(id_).path,
        worker,
        changes,
        telemetry,
        silence_s=settings.worker_silence_s,
        lease_s=settings.lease_s,
        poll_s=poll_s,
    )
    return Collaborators(
        settings=settings,
        store=store,
        intake=intake,
        views=TransmissionViews(store, changes, streams, poll_s),
        changes=changes,
        supervisor=supervisor,
        telemetry=telemetry,
        flights=metrics.Flights(settings.max_flights, registry),
    )


def _lifespan(
    own: Collaborators, root: Path, close: Callable[[], None]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        housekeeping = run_housekeeping(own.store, root, own.settings)
        async with background(supervisor=own.supervisor.run(), housekeeping=housekeeping):
            yield
        close()
        await asyncio.to_thread(own.store.close)

    return lifespan
