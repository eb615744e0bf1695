"""The receiver's API."""

import asyncio
import hashlib
import json
import logging
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, BinaryIO
from weakref import WeakValueDictionary

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from weightcast.errors import FormatError
from weightcast.learning.architectures import architecture_of
from weightcast.wire.header import PART_SYMBOLS, parse_header
from weightcast.wire.side import SideReader
from weightcast.wire.symbols import parse_symbols
from weightcast.wire.transmission import Transmission, check
from weightcast_server.board import Board
from weightcast_server.files import Folder, in_words, settle, unfinished
from weightcast_server.settings import Settings
from weightcast_server.store import FINISHED, Row, Store, open_store
from weightcast_server.supervisor import Supervisor
from weightcast_server.worker_process import WorkerProcess, hire
from weightcast_web import problems
from weightcast_web.bodies import pieces, read_body
from weightcast_web.refusal import Refusal

_log = logging.getLogger(__name__)
OPEN = ("created", "receiving")
LISTED = 100
MAX_KEY = 255
INDEX_BYTES = 1 << 20
"""More than the index of the side information of any header takes."""
STAMP = "weightcast-channel"
"""Field in which a link names the channel that a part has been through."""


def create_app(
    settings: Settings, store: Store | None = None, worker: WorkerProcess | None = None
) -> FastAPI:
    """Build the receiver.

    Args:
        settings: folders and limits.
        store: the database; None opens SQLite in the data folder.
        worker: one that runs already; None starts one with the app.
    """
    root = settings.data / "transmissions"
    root.mkdir(parents=True, exist_ok=True)
    store = store or open_store(settings.data)
    board = Board()
    checked: dict[str, Transmission] = {}
    flights = asyncio.Semaphore(settings.max_flights)
    locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def folder_of(id_: str) -> Folder:
        return Folder(root / id_)

    supervisor = Supervisor(
        store,
        lambda id_: folder_of(id_).path,
        lambda: hire(settings),
        board.change,
        settings.worker_silence_s,
        worker,
    )
    known = store.ids()
    for path in root.iterdir():
        if path.name in known:
            Folder(path).drop_unfinished()
        else:
            Folder(path).remove()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(supervisor.run())
        task.add_done_callback(_mourn)
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.close()

    app = FastAPI(title="weightcast receiver", lifespan=lifespan)
    problems.install(app)

    async def row_of(id_: str) -> Row:
        if not re.fullmatch("[0-9a-f]{32}", id_):
            raise Refusal(404, "no-transmission", "no such transmission")
        return await asyncio.to_thread(store.get, id_)

    async def transmission_of(row: Row) -> Transmission:
        if row.id not in checked:
            while len(checked) >= 1000:
                checked.pop(next(iter(checked)))
            checked[row.id] = check(parse_header(row.header.encode(), len(row.header) * 4))
        return checked[row.id]

    def lock_of(name: str) -> asyncio.Lock:
        return locks.setdefault(name, asyncio.Lock())

    def resource(row: Row, folder: Folder) -> dict[str, Any]:
        header = json.loads(row.header)
        return row.summary() | {
            "header": header,
            "progress": board.progress.get(row.id),
            "parts": {
                "received": len(folder.parts()),
                "total": -(-header["n_symbols"] // PART_SYMBOLS),
            },
        }

    async def resource_of(id_: str) -> dict[str, Any]:
        row = await row_of(id_)
        return await asyncio.to_thread(resource, row, folder_of(id_))

    @app.get("/health")
    async def health() -> dict[str, str]:
        if not supervisor.is_alive:
            raise Refusal(503, "no-supervisor", "nothing is decoded or evaluated any more")
        return {"service": "receiver", "status": "ready"}

    @app.post("/transmissions", status_code=201)
    async def create(request: Request, response: Response) -> dict[str, Any]:
        text = bytes(await read_body(request, settings.max_header_bytes))
        header = parse_header(text, settings.max_header_bytes)
        _admit(check(header), settings)
        id_ = secrets.token_hex(16)
        key = request.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= MAX_KEY:
            raise Refusal(
                400, "idempotency-key", f"an Idempotency-Key has 1 to {MAX_KEY} characters"
            )
        row = None
        try:
            await asyncio.to_thread(folder_of(id_).create)
            row = await asyncio.to_thread(store.create, id_, text.decode(), key)
        finally:
            if row is None or row.id != id_:
                await asyncio.to_thread(folder_of(id_).remove)
        response.headers["location"] = f"/transmissions/{row.id}"
        return await resource_of(row.id)

    @app.get("/transmissions")
    async def newest() -> dict[str, Any]:
        rows = await asyncio.to_thread(store.newest, LISTED)
        return {"transmissions": [row.summary() for row in rows]}

    @app.get("/transmissions/{id_}")
    async def state(id_: str) -> dict[str, Any]:
        return await resource_of(id_)

    @app.get("/transmissions/{id_}/header")
    async def header_text(id_: str) -> Response:
        return Response((await row_of(id_)).header, media_type="application/json")

    @app.put("/transmissions/{id_}/side", status_code=204)
    async def side(id_: str, request: Request) -> None:
        transmission = await transmission_of(await row_of(id_))
        header = transmission.header
        planes = header.n_weights // 4 + transmission.layout.carried_bytes
        max_bytes = min(planes + INDEX_BYTES, settings.max_side_bytes)
        path = folder_of(id_).side
        temporary = unfinished(path)
        digest = hashlib.sha256()

        def accept(file: BinaryIO) -> None:
            file.flush()
            reader = SideReader(temporary, transmission)
            try:
                reader.check()
            finally:
                reader.close()
            row = store.get(id_)
            if row.side_digest is None and row.state in OPEN:
                settle(file, path)
                store.change(id_, OPEN, side_digest=digest.hexdigest(), state="receiving")
            elif row.side_digest != digest.hexdigest():
                raise Refusal(409, "side-differs", "other side information has arrived before")

        async with lock_of(f"{id_}/side"):
            try:
                with in_words(), await asyncio.to_thread(temporary.open, "wb") as file:
                    async for piece in pieces(request, max_bytes):
                        digest.update(piece)
                        await asyncio.to_thread(file.write, piece)
                    await asyncio.to_thread(accept, file)
            finally:
                temporary.unlink(missing_ok=True)
        board.ring(id_)

    @app.put("/transmissions/{id_}/parts/{n}", status_code=204)
    async def part(id_: str, n: int, request: Request) -> None:
        row = await row_of(id_)
        transmission = await transmission_of(row)
        header = transmission.header
        n_bytes = header.part_bytes(n)
        stamp = request.headers.get(STAMP)
        if stamp != header.channel and not (stamp is None and transmission.channel.is_clean):
            raise Refusal(
                409,
                "channel",
                f"part {n} went through {stamp or 'no channel'}, the header says {header.channel}",
            )
        folder = folder_of(id_)

        def keep(body: bytearray) -> None:
            parse_symbols(body, at=n * PART_SYMBOLS, limited=False)
            digest = hashlib.sha256(body).hexdigest()
            if row.state not in OPEN and folder.parts().get(n) != digest:
                raise Refusal(409, "closed", f"the transmission is {row.state}")
            folder.add_part(n, body, digest)
            if row.state == "created":
                store.change(id_, ("created",), state="receiving")

        async with flights, lock_of(f"{id_}/{n}"):
            body = await read_body(request, n_bytes)
            if len(body) != n_bytes:
                raise FormatError(f"part {n} has {len(body)} bytes, header promises {n_bytes}")
            await asyncio.to_thread(keep, body)
        board.ring(id_)

    @app.get("/transmissions/{id_}/parts")
    async def arrived(id_: str) -> dict[str, Any]:
        row = await row_of(id_)
        parts = await asyncio.to_thread(folder_of(id_).parts)
        return {"parts": sorted(parts), "side": row.side_digest is not None}

    @app.post("/transmissions/{id_}/complete", status_code=202)
    async def complete(id_: str) -> dict[str, Any]:
        row = await row_of(id_)
        if row.state in OPEN:
            transmission = await transmission_of(row)
            parts = await asyncio.to_thread(folder_of(id_).parts)
            missing = [n for n in range(transmission.header.n_parts) if n not in parts]
            if missing or row.side_digest is None:
                what = f"{len(missing)} parts" + ("" if row.side_digest else ", side information")
                raise Refusal(
                    409,
                    "incomplete",
                    f"missing: {what}",
                    missing_parts=missing[:1000],
                    missing_side=row.side_digest is None,
                )
            await asyncio.to_thread(store.change, id_, OPEN, state="queued", queued=time.time())
            board.ring(id_)
            supervisor.wake()
        return await resource_of(id_)

    @app.get("/transmissions/{id_}/events")
    async def events(id_: str) -> StreamingResponse:
        await row_of(id_)

        async def stream() -> AsyncIterator[str]:
            async with aclosing(board.changes(id_)) as changes:
                async for is_new in changes:
                    if not is_new:
                        yield ": still here\n\n"
                        continue
                    try:
                        now = await resource_of(id_)
                    except Refusal:
                        return
                    del now["header"]
                    yield f"data: {json.dumps(now)}\n\n"
                    if now["state"] in FINISHED:
                        return

        return StreamingResponse(stream(), media_type="text/event-stream")

    @app.get("/transmissions/{id_}/model")
    async def model(id_: str) -> FileResponse:
        await row_of(id_)
        path = folder_of(id_).model
        if not path.exists():
            raise Refusal(409, "not-decoded", "the model has not been decoded yet")
        return FileResponse(path, media_type="application/octet-stream")

    @app.delete("/transmissions/{id_}", status_code=204)
    async def forget(id_: str) -> None:
        await row_of(id_)
        await asyncio.to_thread(store.delete, id_)
        await asyncio.to_thread(folder_of(id_).remove)
        board.change(id_, None)

    return app


def _mourn(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        _log.critical("the supervisor died", exc_info=task.exception())


def _admit(transmission: Transmission, settings: Settings) -> None:
    """Refuse what cannot be kept or evaluated before a byte of it is stored."""
    header = transmission.header
    if header.n_symbols > settings.max_symbols:
        raise Refusal(
            413, "too-long", f"{header.n_symbols} symbols, at most {settings.max_symbols} allowed"
        )
    needed = 4 * header.n_symbols + 4 * header.n_weights + header.n_weights // 4
    needed += 2 * transmission.layout.carried_bytes
    if shutil.disk_usage(settings.data).free < needed + settings.spare_bytes:
        raise Refusal(507, "disk-full", f"there is no room for the {needed} bytes this would take")
    if header.evaluate:
        architecture_of(transmission.layout)
