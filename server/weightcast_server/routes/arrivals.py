"""Routes of what arrives: symbols in parts, side information, and which of them are there."""

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Request

from weightcast.wire.symbols import STAMP
from weightcast_server.receiving.arriving import receive_part, receive_side
from weightcast_server.routes.collaborators import Collaborators
from weightcast_web.http.bodies import OCTETS, Body, described

BINARY = {"type": "string", "format": "binary"}


def router(own: Collaborators) -> APIRouter:
    """Return the routes of a receiver with these parts."""
    routes = APIRouter(prefix="/transmissions/{id_}")
    settings, intake, views, telemetry = own.settings, own.intake, own.views, own.telemetry

    @routes.put("/side", status_code=204, openapi_extra=described(OCTETS, BINARY))
    async def side(id_: str, request: Request) -> None:
        row = await views.open_row(id_)
        max_bytes = await asyncio.to_thread(intake.max_side_bytes, row)
        body = Body(request, max_bytes, settings, OCTETS)
        if await receive_side(intake, row, body):
            telemetry.side(id_, body.n_bytes)
        own.changes.wake(id_)

    @routes.put(
        "/parts/{n}",
        status_code=204,
        openapi_extra=described(OCTETS, BINARY),
        dependencies=[Depends(telemetry.watch_part)],
    )
    async def part(id_: str, n: int, request: Request) -> None:
        row = await views.open_row(id_)
        stamp = request.headers.get(STAMP)
        n_bytes = await asyncio.to_thread(intake.part_bytes, row, n, stamp)
        body = Body(request, n_bytes, settings, OCTETS)
        is_new = await receive_part(intake, row, n, n_bytes, body, own.flights)
        telemetry.part(id_, n, n_bytes, is_new=is_new)
        own.changes.wake(id_)

    @routes.get("/parts")
    async def arrived(id_: str) -> dict[str, Any]:
        row = await views.open_row(id_)
        parts, has_side = await asyncio.to_thread(intake.on_disk, row)
        return {"parts": parts, "side": has_side}

    return routes
