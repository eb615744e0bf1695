"""Routes of a transmission as a whole: opened, looked at, completed, deleted."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from weightcast.wire.header import Header
from weightcast_server.routes.collaborators import Collaborators
from weightcast_server.storing.tables import OPEN
from weightcast_web.http.bodies import JSON, described, read_body
from weightcast_web.http.idempotency import idempotency_key

LISTED = 100
HEADER_SCHEMA = Header.model_json_schema()


def router(own: Collaborators) -> APIRouter:
    """Return the routes of a receiver with these parts."""
    routes = APIRouter(prefix="/transmissions")
    settings, store, intake, views = own.settings, own.store, own.intake, own.views

    @routes.post("", status_code=201, openapi_extra=described(JSON, HEADER_SCHEMA))
    async def create(request: Request, response: Response) -> dict[str, Any]:
        text = bytes(await read_body(request, settings.max_header_bytes, settings, JSON))
        key = idempotency_key(request)
        row, is_new = await asyncio.to_thread(intake.create, text, key)
        if is_new:
            own.telemetry.created(row.id)
        response.headers["location"] = f"/transmissions/{row.id}"
        return await views.resource(row.id)

    @routes.get("")
    async def newest() -> dict[str, Any]:
        rows = await asyncio.to_thread(store.newest, LISTED)
        return {"transmissions": [row.summary() for row in rows]}

    @routes.get("/{id_}")
    async def state(id_: str) -> dict[str, Any]:
        return await views.resource(id_)

    @routes.get("/{id_}/header")
    async def header_text(id_: str) -> Response:
        return Response((await views.row(id_)).header, media_type="application/json")

    @routes.post("/{id_}/complete", status_code=202)
    async def complete(id_: str) -> dict[str, Any]:
        row = await views.open_row(id_)
        if row.state in OPEN:
            own.telemetry.completed(id_, await asyncio.to_thread(intake.complete, row))
            own.changes.wake(id_)
            own.supervisor.wake()
        return await views.resource(id_)

    @routes.delete("/{id_}", status_code=204)
    async def forget(id_: str) -> None:
        await views.row(id_)
        await asyncio.to_thread(store.delete, id_)
        await asyncio.to_thread(intake.folder(id_).remove)
        own.telemetry.deleted(id_)
        own.changes.note(id_, None)

    return routes
