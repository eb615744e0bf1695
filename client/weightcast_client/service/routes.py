"""Routes of the sender service: sends queued, looked at, followed, cancelled."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from weightcast_client.service.bodies import SEND_SCHEMA, read_send
from weightcast_client.service.runner import Runner
from weightcast_client.service.store import Store
from weightcast_client.service.telemetry import Telemetry
from weightcast_client.service.views import SendViews
from weightcast_client.settings import Settings
from weightcast_web.http.bodies import JSON, described
from weightcast_web.http.idempotency import idempotency_key

LISTED = 100


def router(
    settings: Settings, store: Store, views: SendViews, runner: Runner, telemetry: Telemetry
) -> APIRouter:
    """Return the routes of a sender service with these parts."""
    routes = APIRouter(prefix="/sends")

    @routes.post("", status_code=202, openapi_extra=described(JSON, SEND_SCHEMA))
    async def create(request: Request, response: Response) -> dict[str, Any]:
        key = idempotency_key(request)
        body = await read_send(request, settings)
        await asyncio.to_thread(body.check, settings.models)
        text, id_ = body.model_dump_json(), secrets.token_hex(16)
        row = await asyncio.to_thread(store.create, id_, text, key, settings.max_queued)
        if row.id == id_:
            telemetry.queued(id_)
        runner.wake()
        response.headers["location"] = f"/sends/{row.id}"
        return await views.resource(row.id)

    @routes.get("")
    async def newest() -> dict[str, Any]:
        rows = await asyncio.to_thread(store.newest, LISTED)
        return {"sends": [row.summary() for row in rows]}

    @routes.get("/{id_}")
    async def state(id_: str) -> dict[str, Any]:
        return await views.resource(id_)

    @routes.post("/{id_}/cancel")
    async def cancel(id_: str) -> dict[str, Any]:
        await views.row(id_)
        await runner.cancel(id_)
        return await views.resource(id_)

    @routes.get(
        "/{id_}/events", response_class=EventSourceResponse, dependencies=[Depends(views.row)]
    )
    async def events(id_: str) -> AsyncIterator[ServerSentEvent]:
        async for state in views.events(id_):
            yield ServerSentEvent(data=state)

    return routes
