"""Request bodies: counted while they are read, checked against their digest, never unbounded."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from weightcast.errors import FormatError
from weightcast.wire.digest import parse_digest
from weightcast_web.refusal import Refusal

SLOWEST_BYTES_PER_S = 16_000
GRACE_S = 30.0


async def pieces(
    request: Request, max_bytes: int, grace_s: float = GRACE_S
) -> AsyncIterator[bytes]:
    """Yield a body as it arrives.

    Raises:
        Refusal: 415 encoded, 400 without or against its digest, 413 longer than ``max_bytes``,
            408 slower than `SLOWEST_BYTES_PER_S` after ``grace_s`` seconds of grace; only the time
            spent waiting for the sender counts.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Refusal(415, "content-encoding", "bodies must not be encoded")
    declared = request.headers.get("content-length", "0")
    if not re.fullmatch("[0-9]{1,19}", declared):
        raise Refusal(400, "content-length", f"Content-Length is not a length: {declared[:100]!r}")
    if int(declared) > max_bytes:
        raise Refusal(413, "too-long", f"a body of {declared} bytes, at most {max_bytes} allowed")
    try:
        expected = parse_digest(request.headers.get("content-digest", ""))
    except FormatError as error:
        raise Refusal(400, "digest-missing", str(error)) from None
    digest = hashlib.sha256()
    received = 0
    left_s = grace_s
    clock = asyncio.get_running_loop().time
    stream = request.stream()
    try:
        while True:
            began = clock()
            async with asyncio.timeout(left_s):
                piece = await anext(stream, None)
            if piece is None:
                break
            received += len(piece)
            left_s += len(piece) / SLOWEST_BYTES_PER_S - (clock() - began)
            if received > max_bytes:
                raise Refusal(413, "too-long", f"a body of more than {max_bytes} bytes")
            digest.update(piece)
            if piece:
                yield piece
    except ClientDisconnect:
        raise Refusal(400, "cut", f"the body broke off after {received} bytes") from None
    except TimeoutError:
        raise Refusal(408, "too-slow", f"only {received} bytes arrived in time") from None
    if digest.digest() != expected:
        raise Refusal(400, "digest-mismatch", "the body does not have the digest it came with")


async def read_body(request: Request, max_bytes: int) -> bytearray:
    """Return a whole body of at most ``max_bytes``; errors as for `pieces`."""
    body = bytearray()
    async for piece in pieces(request, max_bytes):
        body += piece
    return body
