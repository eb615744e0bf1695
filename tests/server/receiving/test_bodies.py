"""Bodies that come too slowly are refused, and only the sender's slowness counts."""

import asyncio
from typing import Any

import pytest
from fastapi import Request

from weightcast.wire.digest import digest_of
from weightcast_web.callers import Limits
from weightcast_web.http.bodies import Body
from weightcast_web.refusal import Refusal

GRACE_S = 0.2
LIMITS = Limits(body_grace_s=GRACE_S)


def request_of(*waits_s: float) -> Request:
    """Return a request whose body comes in pieces of one byte, each after a wait."""
    waits = list(waits_s)
    body = b"x" * len(waits)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(waits.pop(0))
        return {"type": "http.request", "body": b"x", "more_body": bool(waits)}

    headers = [(b"content-digest", digest_of(body).encode())]
    return Request({"type": "http", "method": "PUT", "headers": headers}, receive)


def test_a_body_that_does_not_come_is_refused_when_the_grace_is_over() -> None:
    async def read() -> None:
        async for _ in Body(request_of(0, 60), 10, LIMITS):
            pass

    with pytest.raises(Refusal, match="only 1 bytes arrived in time") as refusal:
        asyncio.run(asyncio.wait_for(read(), 30))
    assert refusal.value.status == 408


def test_a_body_that_trickles_is_refused_though_it_never_pauses_for_long() -> None:
    async def read() -> None:
        async for _ in Body(request_of(*[GRACE_S / 10] * 1000), 1000, LIMITS):
            pass

    with pytest.raises(Refusal, match="arrived in time"):
        asyncio.run(asyncio.wait_for(read(), 10))


def test_the_time_that_the_reader_takes_is_not_held_against_the_sender() -> None:
    async def read() -> int:
        n = 0
        async for piece in Body(request_of(0, 0, 0), 10, LIMITS):
            await asyncio.sleep(2 * GRACE_S)
            n += len(piece)
        return n

    assert asyncio.run(read()) == 3
