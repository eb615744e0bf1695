"""The link's API: the receiver's own, passed through, with the channel applied to symbol parts."""

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Send

from weightcast.channels import Channel
from weightcast.errors import LinkError
from weightcast.noise.gaussian import Noise, best_form
from weightcast.wire.digest import digest_of
from weightcast.wire.header import parse_header, part_bytes
from weightcast.wire.symbols import STAMP
from weightcast_link.crossing import cross_into, read_part
from weightcast_link.settings import Settings
from weightcast_link.telemetry import Journal
from weightcast_web.events.streams import Streams
from weightcast_web.http import authority, problems
from weightcast_web.http.bodies import pieces, spooled
from weightcast_web.http.fair_share import turn
from weightcast_web.refusal import Refusal
from weightcast_web.telemetry import health, metrics

_PIECE = 1 << 18
_REMEMBERED = 100
_PASSED_UP = (
    *("content-type", "content-length", "content-digest", "idempotency-key"),
    *("accept", "range", "if-range"),
)
_PASSED_DOWN = (
    *("content-type", "content-length", "content-digest", "location", "retry-after"),
    *("accept-ranges", "content-range", "etag"),
)
HEALTH_TIMEOUT_S = 3.0
"""How long the receiver may take to say that it is ready."""


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """Build the link.

    Args:
        settings: where the receiver is, and limits.
        transport: how to reach the receiver; None is the network.
    """
    known: OrderedDict[str, tuple[int, Channel, Noise]] = OrderedDict()
    registry = metrics.new_registry()
    journal = Journal(registry)
    flights = metrics.Flights(settings.max_flights, registry)
    threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="channel")
    token = settings.token
    client = httpx.AsyncClient(
        base_url=settings.receiver,
        headers={"authorization": f"Bearer {token.get_secret_value()}"} if token else {},
        transport=transport,
        timeout=httpx.Timeout(settings.answer_timeout_s, connect=settings.connect_timeout_s),
        limits=httpx.Limits(max_connections=256, max_keepalive_connections=16),
        follow_redirects=False,
        trust_env=False,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads.submit(best_form)  # Compiled code is loaded before the first part comes.
        yield
        await client.aclose()
        threads.shutdown()

    async def ask(request: httpx.Request) -> httpx.Response:
        try:
            answer = await client.send(request, stream=True)
        except httpx.TimeoutException:
            journal.trouble("silent")
            raise Refusal(504, "receiver-silent", "the receiver does not answer in time") from None
        except (httpx.TransportError, AttributeError) as error:
            # A connection that is reset as soon as it is open has no socket when anyio (4.16) asks
            # for its peer, and that error comes through httpx as it is.
            if isinstance(error, AttributeError) and error.name != "getpeername":
                raise
            journal.trouble("unreachable")
            raise LinkError("the receiver cannot be reached") from None
        if answer.status_code == 401:
            journal.trouble("token-refused")
            await answer.aclose()
            raise LinkError("the receiver does not accept the link's token")
        return answer

    async def is_receiver_ready() -> None:
        """Raise unless it says so soon."""
        request = client.build_request("GET", "/health", timeout=HEALTH_TIMEOUT_S)
        answer = await ask(request)
        await answer.aclose()
        if answer.status_code != 200:
            raise Refusal(503, "receiver-not-ready", "the receiver is not ready")

    app = FastAPI(title="weightcast link", lifespan=lifespan, redirect_slashes=False)
    app.state.streams = streams = Streams()
    problems.install(app)
    authority.guard(app, settings.token)
    readiness = health.Health(is_receiver_ready)
    health.install(app, "link", readiness)
    metrics.install(app, registry, readiness)

    def request_to(method: str, target: str, **more: Any) -> httpx.Request:
        try:
            return client.build_request(method, target, **more)
        except httpx.InvalidURL:
            raise Refusal(404, "not-found", "no such resource") from None

    async def crossing_of(transmission: str) -> tuple[int, Channel, Noise]:
        """Return number of symbols, channel and noise of a transmission; asks the first time."""
        if transmission not in known:
            answer = await ask(request_to("GET", f"/transmissions/{transmission}/header"))
            text = await _whole(answer, journal)
            if answer.status_code == 404:
                raise Refusal(404, "no-transmission", "no such transmission")
            if answer.status_code == 503:
                raise Refusal(503, "store-busy", "the receiver is busy")
            if answer.status_code != 200:
                raise LinkError(f"the receiver gives no header, it answers {answer.status_code}")
            # One with many tensors takes seconds.
            header = await asyncio.to_thread(parse_header, text, settings.max_header_bytes)
            known[transmission] = header.n_symbols, *header.crossing()
            while len(known) > _REMEMBERED:
                known.popitem(last=False)
        known.move_to_end(transmission)
        return known[transmission]

    @app.put("/transmissions/{transmission}/parts/{n}", dependencies=[Depends(journal.watch_part)])
    async def part(transmission: str, n: int, request: Request) -> Response:
        if STAMP in request.headers:
            raise Refusal(409, "noised-already", "this part has been through a channel already")
        if not re.fullmatch("[0-9a-f]{32}", transmission):
            raise Refusal(404, "no-transmission", "no such transmission")
        n_symbols, channel, noise = await crossing_of(transmission)
        n_bytes = part_bytes(n_symbols, n)
        async with spooled(request, n_bytes, settings) as file, flights:

            def cross() -> tuple[memoryview, str]:
                raw = read_part(file, n, n_bytes)
                with journal.noise_s.time():
                    cross_into(raw, n, channel, noise)
                return raw, digest_of(raw)

            raw, digest = await asyncio.get_running_loop().run_in_executor(threads, cross)
            passed = request_to(
                "PUT",
                f"/transmissions/{transmission}/parts/{n}",
                content=_in_pieces(raw),
                headers={
                    "content-length": str(n_bytes),
                    "content-digest": digest,
                    "content-type": "application/octet-stream",
                    STAMP: channel.name,
                },
            )
            answer = await ask(passed)
            journal.part(n_bytes, is_taken=answer.is_success)
            return await _pass_down(answer, streams, journal)

    # The receiver's OpenAPI tells what these are.
    @app.api_route("/transmissions", methods=["GET", "POST"], include_in_schema=False)
    @app.api_route(
        "/transmissions/{path:path}",
        methods=["GET", "PUT", "POST", "DELETE"],
        include_in_schema=False,
    )
    async def anything_else(request: Request) -> Response:
        fields = {
            k: v.encode("latin-1") for k in _PASSED_UP if (v := request.headers.get(k)) is not None
        }
        target = request.scope["raw_path"].decode("latin-1")
        query = request.scope["query_string"].decode("latin-1")
        has_body = "transfer-encoding" in request.headers
        has_body |= request.headers.get("content-length", "0") != "0"
        passed = request_to(
            request.method,
            f"{target}?{query}" if query else target,
            content=pieces(request, 1 << 40, settings) if has_body else None,
            headers=fields,
        )
        return await _pass_down(await ask(passed), streams, journal)

    return app


async def _in_pieces(raw: memoryview) -> AsyncIterator[bytes]:
    for at in range(0, len(raw), _PIECE):
        await turn()
        yield bytes(raw[at : at + _PIECE])


async def _whole(answer: httpx.Response, journal: Journal) -> bytes:
    try:
        return await answer.aread()
    except httpx.TransportError:
        journal.trouble("broken-off")
        raise LinkError("the receiver broke off") from None


async def _pass_down(answer: httpx.Response, streams: Streams, journal: Journal) -> Response:
    """Pass an answer on: short ones whole, long ones as they come, endless ones until the end."""
    fields = {k: v for k in _PASSED_DOWN if (v := answer.headers.get(k)) is not None}
    length = fields.get("content-length")
    if length is not None and int(length) <= _PIECE:
        content = await _whole(answer, journal)
        return Response(content, answer.status_code, fields)

    async def stream() -> AsyncIterator[bytes]:
        try:
            pieces = answer.aiter_raw()
            async for piece in pieces if length else streams.until_end(pieces):
                await turn()
                yield piece
        except httpx.TransportError:
            journal.trouble("broken-off")
            raise _BrokenOff from None
        finally:
            await answer.aclose()

    return _PassedOn(stream(), answer.status_code, fields)


class _BrokenOff(Exception):
    """The receiver does not go on with its answer."""


class _PassedOn(StreamingResponse):
    """An answer without its last piece where the receiver broke it off: its caller is cut, too."""

    async def stream_response(self, send: Send) -> None:
        """Send the pieces."""
        with suppress(_BrokenOff):
            await super().stream_response(send)
