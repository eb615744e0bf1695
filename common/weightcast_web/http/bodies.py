"""Request bodies: counted while they are read, checked against their digest, never unbounded."""

import asyncio
import errno
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BufferedRandom
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from weightcast.errors import FormatError
from weightcast.wire.digest import parse_digest
from weightcast_web.callers import Limits
from weightcast_web.http.fair_share import wait_for_fair_share
from weightcast_web.refusal import Refusal

JSON, OCTETS = "application/json", "application/octet-stream"
CHUNK_BYTES = 1 << 18
"""What is collected of a body before a thread takes it; a multiple of a symbol's bytes."""


def described(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of a body that a route reads piece by piece."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


class Body:
    """The body of a request as it arrives: counted, timed and hashed once.

    Args:
        request: whose body it is.
        max_bytes: cap on it.
        limits: how slow it may be; only the time spent waiting for the sender counts.
        media_type: what it must be if the sender says what it is; None takes anything.
        needs_digest: refuse one without a digest; a digest that is there is checked in any case.

    Raises:
        Refusal: 415 encoded or of another type, 413 longer than ``max_bytes``, 400 without a
            digest.
    """

    def __init__(
        self,
        request: Request,
        max_bytes: int,
        limits: Limits,
        media_type: str | None = None,
        *,
        needs_digest: bool = True,
    ) -> None:
        fields = request.headers
        if fields.get("content-encoding", "identity") != "identity":
            raise Refusal(415, "content-encoding", "bodies must not be encoded")
        found = fields.get("content-type", "").partition(";")[0].strip().lower()
        if found and media_type and found != media_type:
            raise Refusal(415, "content-type", f"the body must be {media_type}")
        length = fields.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,19}", length):
            raise Refusal(
                400, "content-length", f"Content-Length is not a length: {length[:100]!r}"
            )
        if int(length) > max_bytes:
            raise Refusal(413, "too-long", f"a body of {length} bytes, at most {max_bytes} allowed")
        promised = fields.get("content-digest", "")
        try:
            self._promised = parse_digest(promised) if promised or needs_digest else None
        except FormatError as error:
            raise Refusal(400, "digest-missing", str(error)) from None
        self._request, self._max_bytes, self._limits = request, max_bytes, limits
        self._hash = hashlib.sha256()
        self.n_bytes = 0

    @property
    def sha256(self) -> str:
        """Digest of what was read so far, hexadecimal."""
        return self._hash.hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece.

        Raises:
            Refusal: 413 longer than allowed, 408 too slow, 400 cut or against its digest.
        """
        async for piece in self._received():
            self._hash.update(piece)
            yield piece
        self._check_digest()

    async def hand_to(self, take: Callable[[bytearray], object]) -> None:
        """Have a thread take the body in chunks of `CHUNK_BYTES`, the last one shorter.

        Raises:
            Refusal: as when it is read piece by piece.
        """

        def hash_and_take(chunk: bytearray) -> None:
            self._hash.update(chunk)
            take(chunk)

        waiting = bytearray()
        async for piece in self._received():
            waiting += piece
            while len(waiting) >= CHUNK_BYTES:
                chunk = waiting[:CHUNK_BYTES]
                del waiting[:CHUNK_BYTES]
                await asyncio.to_thread(hash_and_take, chunk)
        if waiting:
            await asyncio.to_thread(hash_and_take, waiting)
        self._check_digest()

    async def _received(self) -> AsyncIterator[bytes]:
        left_s = self._limits.body_grace_s
        clock = asyncio.get_running_loop().time
        stream = self._request.stream()
        try:
            while True:
                began = clock()
                async with asyncio.timeout(left_s):
                    piece = await anext(stream, None)
                if piece is None:
                    return
                waited_s = clock() - began
                await wait_for_fair_share()
                self.n_bytes += len(piece)
                left_s += len(piece) / self._limits.min_body_bytes_per_s - waited_s
                if self.n_bytes > self._max_bytes:
                    detail = f"a body of more than {self._max_bytes} bytes"
                    raise Refusal(413, "too-long", detail)
                if piece:
                    yield piece
        except ClientDisconnect:
            raise Refusal(400, "cut", f"the body broke off after {self.n_bytes} bytes") from None
        except TimeoutError:
            detail = f"only {self.n_bytes} bytes arrived in time"
            raise Refusal(408, "too-slow", detail) from None

    def _check_digest(self) -> None:
        if self._promised not in (None, self._hash.digest()):
            raise Refusal(400, "digest-mismatch", "the body does not have the digest it came with")


async def read_body(
    request: Request,
    max_bytes: int,
    limits: Limits,
    media_type: str | None = None,
    *,
    needs_digest: bool = True,
) -> bytearray:
    """Return a whole body of at most ``max_bytes``; arguments and errors as for `Body`."""
    body = bytearray()
    async for piece in Body(request, max_bytes, limits, media_type, needs_digest=needs_digest):
        body += piece
    return body


@asynccontextmanager
async def spooled(
    request: Request, max_bytes: int, limits: Limits, folder: Any = None
) -> AsyncIterator[BufferedRandom]:
    """Collect octets in a file without a name, so that slow senders take up no memory.

    Args:
        request, max_bytes, limits: as for `Body`.

    Yields:
        The file, open at its start.
    """
    with tempfile.TemporaryFile() as file:
        with _refusing_full_disks():
            await Body(request, max_bytes, limits, OCTETS).hand_to(file.write)
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
