"""The sender service's API."""

import asyncio
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from weightcast_client.sending.transport import transport_to
from weightcast_client.service.bodies import SEND_SCHEMA, SendBody, read_send
from weightcast_client.service.first import follow_first
from weightcast_client.service.runner import Runner
from weightcast_client.service.store import FINISHED, Row, Store
from weightcast_client.service.telemetry import Census, Journal
from weightcast_client.service.worker_process import hire
from weightcast_client.settings import Settings
from weightcast_web.events.changes import HEARTBEAT_S, Board
from weightcast_web.events.streams import Streams
from weightcast_web.http import authority, problems
from weightcast_web.http.bodies import JSON, described
from weightcast_web.refusal import Refusal
from weightcast_web.telemetry import health, metrics
from weightcast_web.workers.process import WorkerProcess

_log = logging.getLogger(__name__)
LISTED = 100
MAX_KEY = 255


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
    board = Board()
    registry = metrics.new_registry()
    journal = Journal(registry)
    census = Census(store.counts)
    registry.register(census)

    def forget(transmission: str) -> None:
        with transport_to(link, settings, tries=1) as transport:
            transport.delete(transmission)

    runner = Runner(store, board, lambda: hire(settings), forget, journal, worker)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(runner.run())]
        if first is not None:
            tasks.append(asyncio.create_task(follow_first(first, store, board, runner.wake)))
        for task in tasks:
            task.add_done_callback(_mourn)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        store.close()

    app = FastAPI(title="weightcast sender", lifespan=lifespan)
    app.state.streams = streams = Streams()
    problems.install(app)
    authority.guard(app, settings.token)

    async def check() -> None:
        if not runner.is_alive:
            raise Refusal(503, "no-runner", "nothing is sent any more")
        await asyncio.to_thread(census.look)

    readiness = health.Health(check)
    health.install(app, "sender", readiness)
    metrics.install(app, registry, readiness)

    async def row_of(id_: str) -> Row:
        if not re.fullmatch("[0-9a-f]{32}", id_):
            raise Refusal(404, "no-send", "no such send")
        return await asyncio.to_thread(store.get, id_)

    async def resource_of(id_: str) -> dict[str, Any]:
        return (await row_of(id_)).summary() | {"progress": board.progress.get(id_)}

    @app.post("/sends", status_code=202, openapi_extra=described(JSON, SEND_SCHEMA))
    async def create(request: Request, response: Response) -> dict[str, Any]:
        key = request.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= MAX_KEY:
            raise Refusal(
                400, "idempotency-key", f"an Idempotency-Key has 1 to {MAX_KEY} characters"
            )
        body = await read_send(request, settings)
        await asyncio.to_thread(body.check, settings.models)
        text, id_ = body.model_dump_json(), secrets.token_hex(16)
        row = await asyncio.to_thread(store.create, id_, text, key, settings.max_queued)
        if row.id == id_:
            journal.queued(id_)
        runner.wake()
        response.headers["location"] = f"/sends/{row.id}"
        return await resource_of(row.id)

    @app.get("/sends")
    async def newest() -> dict[str, Any]:
        rows = await asyncio.to_thread(store.newest, LISTED)
        return {"sends": [row.summary() for row in rows]}

    @app.get("/sends/{id_}")
    async def state(id_: str) -> dict[str, Any]:
        return await resource_of(id_)

    @app.post("/sends/{id_}/cancel")
    async def cancel(id_: str) -> dict[str, Any]:
        await row_of(id_)
        await runner.cancel(id_)
        return await resource_of(id_)

    @app.get("/sends/{id_}/events")
    async def events(id_: str) -> StreamingResponse:
        await row_of(id_)

        async def stream() -> AsyncIterator[str]:
            shown: dict[str, Any] = {}
            async with aclosing(board.changes(id_, HEARTBEAT_S)) as changes:
                async for _ in streams.until_end(changes):
                    try:
                        now = await resource_of(id_)
                    except Refusal:
                        return
                    yield f"data: {json.dumps(now)}\n\n" if now != shown else ": still here\n\n"
                    shown = now
                    if now["state"] in FINISHED:
                        return

        return StreamingResponse(stream(), media_type="text/event-stream")

    return app


def _mourn(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.critical("a task of the sender died", exc_info=task.exception())
