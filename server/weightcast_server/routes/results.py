"""Routes of what comes of a transmission: its events, and the model that was received."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from weightcast_server.routes.collaborators import Collaborators
from weightcast_server.storing.tables import DECODED
from weightcast_web.refusal import Refusal


def router(own: Collaborators) -> APIRouter:
    """Return the routes of a receiver with these parts."""
    routes = APIRouter(prefix="/transmissions/{id_}")
    views = own.views

    @routes.get("/events", response_class=EventSourceResponse, dependencies=[Depends(views.row)])
    async def events(id_: str) -> AsyncIterator[ServerSentEvent]:
        async for state in views.events(id_):
            yield ServerSentEvent(data=state)

    @routes.get("/model")
    async def model(id_: str) -> FileResponse:
        row = await views.row(id_)
        path = own.intake.folder(id_).model
        if row.purged is not None or row.state == "expired":
            raise Refusal(410, "expired", "the model has been deleted, only its result is kept")
        if row.state not in DECODED or not path.exists():
            raise Refusal(409, "not-decoded", f"there is no model: the transmission is {row.state}")
        return FileResponse(path, media_type="application/octet-stream")

    return routes
