"""The receiver's API: what it is made of, and its routes."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from weightcast.errors import ParameterError
from weightcast.wire.header import Header
from weightcast.wire.symbols import STAMP
from weightcast_server.readiness import Vitals
from weightcast_server.receiving.intake import Intake
from weightcast_server.routes.views import Desk
from weightcast_server.settings import Settings
from weightcast_server.storing.database import open_store
from weightcast_server.storing.files import in_words, unfinished
from weightcast_server.storing.housekeeping import STALE_S, clear, keep_house
from weightcast_server.storing.store import Store
from weightcast_server.storing.tables import DECODED, OPEN
from weightcast_server.telemetry import Journal
from weightcast_server.working.supervisor import Supervisor
from weightcast_server.working.worker_process import hire
from weightcast_web import failpoints
from weightcast_web.events.changes import Board
from weightcast_web.events.streams import Streams
from weightcast_web.http import authority, problems
from weightcast_web.http.bodies import JSON, OCTETS, described, pieces, read_body, spooled
from weightcast_web.refusal import Refusal
from weightcast_web.telemetry import health, metrics
from weightcast_web.workers.process import WorkerProcess

_log = logging.getLogger(__name__)
LISTED = 100
HEADER_SCHEMA = Header.model_json_schema()
BINARY = {"type": "string", "format": "binary"}

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
    poll_s = POLL_S if store.is_shared else None
    board = Board()
    registry = metrics.new_registry()
    journal = Journal(registry)
    intake = Intake(store, root, settings)
    supervisor = Supervisor(
        store,
        lambda id_: intake.folder(id_).path,
        lambda: hire(settings),
        board.change,
        settings.worker_silence_s,
        journal,
        settings.lease_s,
        poll_s,
        worker,
    )
    vitals = Vitals(store, settings.data, settings.spare_bytes, lambda: supervisor.is_alive)
    registry.register(vitals)
    clear(store, root, STALE_S if store.is_shared else 0)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(supervisor.run(), name="supervisor"),
            asyncio.create_task(keep_house(store, root, settings), name="housekeeping"),
        ]
        for task in tasks:
            task.add_done_callback(_mourn)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        vitals.close()
        await asyncio.to_thread(store.close)

    app = FastAPI(title="weightcast receiver", lifespan=lifespan, redirect_slashes=False)
    app.state.streams = streams = Streams()
    problems.install(app)
    authority.guard(app, settings.token)
    readiness = health.Health(vitals.check)
    health.install(app, "receiver", readiness)
    metrics.install(app, registry, readiness)
    desk = Desk(store, board, streams, poll_s)
    flights = metrics.Flights(settings.max_flights, registry)

    @app.post("/transmissions", status_code=201, openapi_extra=described(JSON, HEADER_SCHEMA))
    async def create(request: Request, response: Response) -> dict[str, Any]:
        text = bytes(await read_body(request, settings.max_header_bytes, settings, JSON))
        key = request.headers.get("idempotency-key")
        row, is_new = await asyncio.to_thread(intake.create, text, key)
        if is_new:
            journal.created(row.id)
        response.headers["location"] = f"/transmissions/{row.id}"
        return await desk.resource(row.id)

    @app.get("/transmissions")
    async def newest() -> dict[str, Any]:
        rows = await asyncio.to_thread(store.newest, LISTED)
        return {"transmissions": [row.summary() for row in rows]}

    @app.get("/transmissions/{id_}")
    async def state(id_: str) -> dict[str, Any]:
        return await desk.resource(id_)

    @app.get("/transmissions/{id_}/header")
    async def header_text(id_: str) -> Response:
        return Response((await desk.row(id_)).header, media_type="application/json")

    @app.put("/transmissions/{id_}/side", status_code=204, openapi_extra=described(OCTETS, BINARY))
    async def side(id_: str, request: Request) -> None:
        row = await desk.open_row(id_)
        digest = hashlib.sha256()
        body = pieces(request, intake.max_side_bytes(row), settings, OCTETS)
        if row.state not in OPEN:  # Nothing new is kept; its digest tells a repeat.
            async for piece in body:
                digest.update(piece)
            await asyncio.to_thread(store.take_side, id_, digest.hexdigest())
            return
        temporary = unfinished(intake.folder(id_).path / "side")
        try:
            with in_words(), await asyncio.to_thread(temporary.open, "wb") as file:
                async for piece in body:
                    digest.update(piece)
                    await asyncio.to_thread(file.write, piece)
                if await asyncio.to_thread(intake.keep_side, row, file, digest.hexdigest()):
                    journal.side(id_, file.tell())
        finally:
            temporary.unlink(missing_ok=True)
        board.ring(id_)

    @app.put(
        "/transmissions/{id_}/parts/{n}",
        status_code=204,
        openapi_extra=described(OCTETS, BINARY),
        dependencies=[Depends(journal.watch_part)],
    )
    async def part(id_: str, n: int, request: Request) -> None:
        row = await desk.open_row(id_)
        n_bytes = intake.transmission(row).header.part_bytes(n)
        intake.check_stamp(row, n, request.headers.get(STAMP))
        async with spooled(request, n_bytes, settings, settings.data) as file, flights:
            is_new = await asyncio.to_thread(intake.keep_part, row, n, file)
        journal.part(id_, n, n_bytes, is_new=is_new)
        board.ring(id_)

    @app.get("/transmissions/{id_}/parts")
    async def arrived(id_: str) -> dict[str, Any]:
        row = await desk.open_row(id_)
        parts, has_side = await asyncio.to_thread(intake.on_disk, row)
        return {"parts": parts, "side": has_side}

    @app.post("/transmissions/{id_}/complete", status_code=202)
    async def complete(id_: str) -> dict[str, Any]:
        row = await desk.open_row(id_)
        if row.state in OPEN:
            journal.completed(id_, await asyncio.to_thread(intake.complete, row))
            board.ring(id_)
            supervisor.wake()
        return await desk.resource(id_)

    @app.get("/transmissions/{id_}/events")
    async def events(id_: str) -> StreamingResponse:
        await desk.row(id_)
        return StreamingResponse(desk.events(id_), media_type="text/event-stream")

    @app.get("/transmissions/{id_}/model")
    async def model(id_: str) -> FileResponse:
        row = await desk.row(id_)
        path = intake.folder(id_).model
        if row.purged is not None or row.state == "expired":
            raise Refusal(410, "expired", "the model has been deleted, only its result is kept")
        if row.state not in DECODED or not path.exists():
            raise Refusal(409, "not-decoded", f"there is no model: the transmission is {row.state}")
        return FileResponse(path, media_type="application/octet-stream")

    @app.delete("/transmissions/{id_}", status_code=204)
    async def forget(id_: str) -> None:
        await desk.row(id_)
        await asyncio.to_thread(store.delete, id_)
        await asyncio.to_thread(intake.folder(id_).remove)
        journal.deleted(id_)
        board.change(id_, None)

    return app


def _mourn(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        _log.critical("the %s died", task.get_name(), exc_info=task.exception())
