"""Arriving: a body on its way into its final file, checked and hashed once, as it comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from weightcast.errors import FormatError
from weightcast.wire.header import PART_SYMBOLS, SYMBOL_BYTES
from weightcast.wire.symbols import parse_symbols
from weightcast_server.receiving.intake import Intake
from weightcast_server.storing.files import refusing_disk_errors, unfinished
from weightcast_server.storing.tables import OPEN, Row
from weightcast_web.http.bodies import Body
from weightcast_web.telemetry.metrics import Flights


@asynccontextmanager
async def new_file_in(folder: Path) -> AsyncIterator[BinaryIO]:
    """Open a file that is gone at the end, unless it has been given its final name."""
    temporary = unfinished(folder)
    with refusing_disk_errors():
        file = await asyncio.to_thread(temporary.open, "wb")
        try:
            yield file
        finally:
            # Not to_thread: a call that is cut off at the end of the service leaves no file either.
            end = asyncio.get_running_loop().run_in_executor(None, _discard, file, temporary)
            await asyncio.shield(end)


def _discard(file: BinaryIO, path: Path) -> None:
    try:
        file.close()
    finally:
        path.unlink(missing_ok=True)


async def receive_part(
    intake: Intake, row: Row, n: int, n_bytes: int, body: Body, flights: Flights
) -> bool:
    """Take the symbols of a part in; return whether they are new.

    Args:
        intake: keeps them.
        row: the transmission as it was when the body began.
        n: number of the part.
        n_bytes: its length.
        body: its bytes.
        flights: how many parts may be put on disk at once.

    Raises:
        WeightcastError: they are not what the header promises, or other ones came before.
    """
    symbols = _Symbols(n)
    if row.state not in OPEN:  # Nothing new is kept; its digest tells a repeat.
        await body.hand_to(symbols.take)
        symbols.check(n_bytes)
        return await asyncio.to_thread(intake.keep_part, row, n, None, body.sha256)
    async with new_file_in(intake.folder(row.id).parts_path) as file:

        def take(chunk: bytearray) -> None:
            symbols.take(chunk)
            file.write(chunk)

        await body.hand_to(take)
        symbols.check(n_bytes)
        async with flights:
            return await asyncio.to_thread(intake.keep_part, row, n, file, body.sha256)


async def receive_side(intake: Intake, row: Row, body: Body) -> bool:
    """Take side information in; return whether it is new; arguments as for `receive_part`."""
    if row.state not in OPEN:
        async for _ in body:
            pass
        return await asyncio.to_thread(intake.keep_side, row, None, body.sha256)
    async with new_file_in(intake.folder(row.id).path) as file:
        await body.hand_to(file.write)
        return await asyncio.to_thread(intake.keep_side, row, file, body.sha256)


class _Symbols:
    """The symbols of a part as they come.

    A wrong one is told at the end: a body that was damaged on its way must be refused by its
    digest, for then it is sent again.
    """

    def __init__(self, n: int) -> None:
        self._n, self._n_bytes = n, 0
        self._error: FormatError | None = None

    def take(self, chunk: bytearray) -> None:
        """Look at the next bytes, whole symbols as long as the part is what it should be."""
        at = self._n * PART_SYMBOLS + self._n_bytes // SYMBOL_BYTES
        self._n_bytes += len(chunk)
        if self._error is None:
            try:
                parse_symbols(chunk, at=at, limited=False)
            except FormatError as error:
                self._error = error

    def check(self, expected: int) -> None:
        """Raise a `FormatError` unless all of the part has come, and nothing else."""
        if self._n_bytes != expected:
            raise FormatError(
                f"part {self._n} has {self._n_bytes} bytes, header promises {expected}"
            )
        if self._error is not None:
            raise self._error
