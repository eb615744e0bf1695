"""The link's API: the receiver's own, passed through, with the channel applied to symbol parts."""

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from weightcast.channels import Channel
from weightcast.errors import FormatError, LinkError
from weightcast.randomness import best_form
from weightcast.wire.digest import digest_of
from weightcast.wire.header import PART_SYMBOLS, Header, parse_header
from weightcast.wire.symbols import parse_symbols
from weightcast_link.settings import Settings
from weightcast_web import problems
from weightcast_web.bodies import pieces, read_body
from weightcast_web.refusal import Refusal

STAMP = "weightcast-channel"
"""Field that tells the receiver which channel a part has been through."""

_PIECE = 1 << 20
_REMEMBERED = 1000
_PASSED_UP = ("content-type", "content-length", "content-digest", "idempotency-key", "accept")
_PASSED_DOWN = ("content-type", "content-length", "location", "content-digest", "retry-after")


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """Build the link.

    Args:
        settings: where the receiver is, and limits.
        transport: how to reach the receiver; None is the network.
    """
    known: OrderedDict[str, tuple[Header, Channel]] = OrderedDict()
    flights = asyncio.Semaphore(settings.max_flights)
    threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="channel")
    client = httpx.AsyncClient(
        base_url=settings.receiver,
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

    app = FastAPI(title="weightcast link", lifespan=lifespan)
    problems.install(app)

    async def ask(request: httpx.Request) -> httpx.Response:
        try:
            return await client.send(request, stream=True)
        except httpx.TimeoutException:
            raise Refusal(504, "receiver-silent", "the receiver does not answer in time") from None
        except httpx.TransportError:
            raise LinkError("the receiver cannot be reached") from None

    def request_to(method: str, target: str, **more: Any) -> httpx.Request:
        try:
            return client.build_request(method, target, **more)
        except httpx.InvalidURL:
            raise Refusal(404, "not-found", "no such resource") from None

    async def header_of(transmission: str) -> tuple[Header, Channel]:
        """Return header and channel of a transmission, from the receiver the first time."""
        if transmission not in known:
            answer = await ask(request_to("GET", f"/transmissions/{transmission}/header"))
            text = await _whole(answer)
            if answer.status_code == 404:
                raise Refusal(404, "no-transmission", "no such transmission")
            if answer.status_code != 200:
                raise LinkError(f"the receiver gives no header, it answers {answer.status_code}")
            header = parse_header(text, settings.max_header_bytes)
            known[transmission] = header, header.build_channel()
            while len(known) > _REMEMBERED:
                known.popitem(last=False)
        known.move_to_end(transmission)
        return known[transmission]

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"service": "link", "status": "ready"}

    @app.put("/transmissions/{transmission}/parts/{n}")
    async def part(transmission: str, n: int, request: Request) -> Response:
        if STAMP in request.headers:
            raise Refusal(409, "noised-already", "this part has been through a channel already")
        if not re.fullmatch("[0-9a-f]{32}", transmission):
            raise Refusal(404, "no-transmission", "no such transmission")
        header, channel = await header_of(transmission)
        n_bytes = header.part_bytes(n)
        async with flights:
            body = await read_body(request, n_bytes)
            if len(body) != n_bytes:
                raise FormatError(f"part {n} has {len(body)} bytes, header promises {n_bytes}")

            def cross() -> tuple[memoryview, str]:
                at = n * PART_SYMBOLS
                sent = parse_symbols(body, at=at, limited=True)
                arrived = channel.transmit(sent, at, header.noise).astype("<f4", copy=False)
                raw = arrived.view(np.uint8).data
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
                    STAMP: header.channel,
                },
            )
            return await _pass_down(await ask(passed))

    @app.api_route("/transmissions", methods=["GET", "POST"])
    @app.api_route("/transmissions/{path:path}", methods=["GET", "PUT", "POST", "DELETE"])
    async def anything_else(request: Request) -> Response:
        fields = {k: v for k in _PASSED_UP if (v := request.headers.get(k)) is not None}
        target = request.scope["raw_path"].decode("latin-1")
        query = request.url.query
        has_body = "transfer-encoding" in request.headers
        has_body |= request.headers.get("content-length", "0") != "0"
        passed = request_to(
            request.method,
            f"{target}?{query}" if query else target,
            content=pieces(request, 1 << 40) if has_body else None,
            headers=fields,
        )
        return await _pass_down(await ask(passed))

    return app


async def _in_pieces(raw: memoryview) -> AsyncIterator[bytes]:
    for at in range(0, len(raw), _PIECE):
        yield bytes(raw[at : at + _PIECE])


async def _whole(answer: httpx.Response) -> bytes:
    try:
        return await answer.aread()
    except httpx.TransportError:
        raise LinkError("the receiver broke off") from None


async def _pass_down(answer: httpx.Response) -> Response:
    """Pass an answer on: short ones whole, long ones as they come."""
    fields = {k: v for k in _PASSED_DOWN if (v := answer.headers.get(k)) is not None}
    length = fields.get("content-length")
    if length is not None and int(length) <= _PIECE:
        content = await _whole(answer)
        return Response(content, answer.status_code, fields)

    async def stream() -> AsyncIterator[bytes]:
        try:
            async for piece in answer.aiter_raw():
                yield piece
        finally:
            await answer.aclose()

    return StreamingResponse(stream(), answer.status_code, fields)
