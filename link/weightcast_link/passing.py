"""Passing calls and answers on as they are."""

from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Send

from weightcast_link.receiver import Receiver
from weightcast_link.settings import Settings
from weightcast_link.telemetry import Telemetry
from weightcast_web.events.streams import FIELDS, Streams
from weightcast_web.http.bodies import Body
from weightcast_web.http.fair_share import wait_for_fair_share

_SHORT = 1 << 18
"""Bytes of an answer that is passed on whole."""
_PASSED_UP = (
    *("content-type", "content-length", "content-digest", "idempotency-key"),
    *("accept", "range", "if-range"),
)
_PASSED_DOWN = (
    *("content-type", "content-length", "content-digest", "location", "retry-after"),
    *("accept-ranges", "content-range", "etag", *FIELDS),
)


class Answers:
    """Answers of the receiver on their way to the sender.

    Args:
        receiver: whose answers they are.
        streams: those that are to end when the service stops.
        telemetry: told when the receiver breaks off.
    """

    def __init__(self, receiver: Receiver, streams: Streams, telemetry: Telemetry) -> None:
        self._receiver, self._streams, self._telemetry = receiver, streams, telemetry

    async def pass_on(self, answer: httpx.Response) -> Response:
        """Pass one on: short ones whole, long ones as they come, endless ones until the end."""
        fields = {k: v for k in _PASSED_DOWN if (v := answer.headers.get(k)) is not None}
        length = fields.get("content-length")
        if length is not None and int(length) <= _SHORT:
            content = await self._receiver.body_of(answer)
            return Response(content, answer.status_code, fields)
        pieces = self._pieces_of(answer, is_endless=length is None)
        return _Streamed(pieces, answer.status_code, fields)

    async def _pieces_of(self, answer: httpx.Response, *, is_endless: bool) -> AsyncIterator[bytes]:
        try:
            pieces = answer.aiter_raw()
            async for piece in self._streams.until_end(pieces) if is_endless else pieces:
                await wait_for_fair_share()
                yield piece
        except httpx.TransportError:
            self._telemetry.trouble("broken-off")
            raise _BrokenOff from None
        finally:
            await answer.aclose()


def router(receiver: Receiver, answers: Answers, settings: Settings) -> APIRouter:
    """Return the routes of everything that is passed on unchanged.

    The receiver's OpenAPI tells what these are.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/transmissions", methods=["GET", "POST"])
    @routes.api_route("/transmissions/{path:path}", methods=["GET", "PUT", "POST", "DELETE"])
    async def anything_else(request: Request) -> Response:
        fields = {
            k: v.encode("latin-1") for k in _PASSED_UP if (v := request.headers.get(k)) is not None
        }
        target = request.scope["raw_path"].decode("latin-1")
        query = request.scope["query_string"].decode("latin-1")
        has_body = "transfer-encoding" in request.headers
        has_body |= request.headers.get("content-length", "0") != "0"
        answer = await receiver.ask(
            request.method,
            f"{target}?{query}" if query else target,
            content=Body(request, 1 << 40, settings) if has_body else None,
            headers=fields,
        )
        return await answers.pass_on(answer)

    return routes


class _BrokenOff(Exception):
    """The receiver does not go on with its answer."""


class _Streamed(StreamingResponse):
    """An answer without its last piece where the receiver broke it off: its caller is cut, too."""

    async def stream_response(self, send: Send) -> None:
        """Send the pieces."""
        with suppress(_BrokenOff):
            await super().stream_response(send)
