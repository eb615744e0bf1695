"""Request bodies: counted while they are read, checked against their digest, never unbounded."""

import asyncio
import errno
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from weightcast.errors import FormatError
from weightcast.wire.digest import parse_digest
from weightcast_web.callers import Limits
from weightcast_web.http.fair_share import turn
from weightcast_web.refusal import Refusal

JSON, OCTETS = "application/json", "application/octet-stream"
_WRITTEN_BYTES = 1 << 18
"""What is collected of a body before it is written to a file."""


def described(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of a body that a route reads piece by piece."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


async def pieces(
    request: Request,
    max_bytes: int,
    limits: Limits,
    media_type: str | None = None,
    *,
    needs_digest: bool = True,
) -> AsyncIterator[bytes]:
    """Yield a body as it arrives; a digest that need not be there is checked if it is.

    Args:
        request: whose body it is.
        max_bytes: cap on it.
        limits: how slow it may be; only the time spent waiting for the sender counts.
        media_type: what it must be if the sender says what it is; None takes anything.

    Raises:
        Refusal: 415 encoded or of another type, 400 without or against its digest, 413 longer than
            ``max_bytes``, 408 too slow.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Refusal(415, "content-encoding", "bodies must not be encoded")
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found and media_type and found != media_type:
        raise Refusal(415, "content-type", f"the body must be {media_type}")
    declared = request.headers.get("content-length", "0")
    if not re.fullmatch("[0-9]{1,19}", declared):
        raise Refusal(400, "content-length", f"Content-Length is not a length: {declared[:100]!r}")
    if int(declared) > max_bytes:
        raise Refusal(413, "too-long", f"a body of {declared} bytes, at most {max_bytes} allowed")
    promised = request.headers.get("content-digest", "")
    try:
        expected = parse_digest(promised) if promised or needs_digest else None
    except FormatError as error:
        raise Refusal(400, "digest-missing", str(error)) from None
    digest = hashlib.sha256()
    received = 0
    left_s = limits.body_grace_s
    clock = asyncio.get_running_loop().time
    stream = request.stream()
    try:
        while True:
            began = clock()
            async with asyncio.timeout(left_s):
                piece = await anext(stream, None)
            if piece is None:
                break
            waited_s = clock() - began
            await turn()
            received += len(piece)
            left_s += len(piece) / limits.min_body_bytes_per_s - waited_s
            if received > max_bytes:
                raise Refusal(413, "too-long", f"a body of more than {max_bytes} bytes")
            digest.update(piece)
            if piece:
                yield piece
    except ClientDisconnect:
        raise Refusal(400, "cut", f"the body broke off after {received} bytes") from None
    except TimeoutError:
        raise Refusal(408, "too-slow", f"only {received} bytes arrived in time") from None
    if expected not in (None, digest.digest()):
        raise Refusal(400, "digest-mismatch", "the body does not have the digest it came with")


async def read_body(
    request: Request,
    max_bytes: int,
    limits: Limits,
    media_type: str | None = None,
    *,
    needs_digest: bool = True,
) -> bytearray:
    """Return a whole body of at most ``max_bytes``; arguments and errors as for `pieces`."""
    body = bytearray()
    async for piece in pieces(request, max_bytes, limits, media_type, needs_digest=needs_digest):
        body += piece
    return body


@asynccontextmanager
async def spooled(
    request: Request, max_bytes: int, limits: Limits, folder: Path | None = None
) -> AsyncIterator[BufferedRandom]:
    """Collect octets in a file without a name, so that slow senders take up no memory.

    Args:
        request, max_bytes, limits: as for `pieces`.
        folder: where the file is; None is the system's folder for temporary files.

    Yields:
        The file, open at its start.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        with _refusing_full_disks():
            waiting = bytearray()
            async for piece in pieces(request, max_bytes, limits, OCTETS):
                waiting += piece
                if len(waiting) >= _WRITTEN_BYTES:
                    await asyncio.to_thread(file.write, waiting)
                    waiting = bytearray()
            await asyncio.to_thread(file.write, waiting)
            del waiting
            file.seek(0)
        yield file


@contextmanager
def _refusing_full_disks() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise Refusal(507, "disk-full", "the disk is full") from None
