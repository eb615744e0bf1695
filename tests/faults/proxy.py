"""A TCP proxy in a thread of the test's process that does to connections what networks do.

::

    caller ── up ──> FaultProxy ── up ──> service
           <─ down ─            <─ down ─

Each connection gets a `Fault`, which says what happens in either direction.
"""

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

PIECE = 1 << 16
QUEUED = 16
"""Pieces on their way in one direction: what a network holds, 1 MiB at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One direction of a connection.

    Args:
        cut_at: when this byte comes, counted from 0, the connection ends instead, both directions.
        stall_at: when this byte comes, nothing more passes until `FaultProxy.release`.
        slice_bytes: bytes per segment.
        delay_s, jitter_s: each segment takes ``delay_s`` up to ``delay_s + jitter_s`` longer.
        bytes_per_s: no more than this; None: no limit.
    """

    cut_at: int | None = None
    stall_at: int | None = None
    slice_bytes: int = PIECE
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one connection.

    Args:
        up: from the caller to the service.
        down: from the service to the caller.
        resets: a cut is a reset (RST) instead of an orderly end (FIN).
    """

    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    resets: bool = False


def only_the_next(fault: Fault) -> Callable[[int], Fault]:
    """Return a plan that gives a fault to the next connection only."""
    faults = iter([fault])
    return lambda n: next(faults, Fault())


class Cut(Exception):
    """The connection has come to its cut."""


class FaultProxy:
    """Passes connections on to a service, with faults.

    Args:
        service: URL of the service; None or a dead one breaks every connection off.
        plan: gives the fault of the n-th connection, from 0.
        seed: of the jitter.
    """

    def __init__(
        self,
        service: str | None,
        plan: Callable[[int], Fault] = lambda n: Fault(),
        seed: int = 0,
    ) -> None:
        self.service, self.plan = service, plan
        self.connections = self.cuts = 0
        self.passed: Counter[str] = Counter(up=0, down=0)
        self._chance = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()

    def release(self) -> None:
        """Let what has stalled pass."""
        self._loop.call_soon_threadsafe(self._released.set)

    def cut_all(self) -> None:
        """End all connections there are, and return when they have ended."""
        asyncio.run_coroutine_threadsafe(self._end_all(), self._loop).result()

    async def _end_all(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def run(self, is_listening: threading.Event) -> None:
        """Pass connections on until `stop`."""

        async def main() -> None:
            server = await asyncio.start_server(self._connected, sock=self._listener)
            is_listening.set()
            async with server:
                await self._stopped.wait()
                server.close()
                await self._end_all()

        self._stopped = asyncio.Event()
        self._loop.run_until_complete(main())
        self._loop.close()

    def stop(self) -> None:
        """End all connections and `run`."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def _connected(self, up: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        fault = self.plan(self.connections)
        self.connections += 1
        writers = [down]
        resets = fault.resets
        try:
            reader, writer = await asyncio.open_connection(*_address(self.service))
            writers.append(writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(fault.up, up, writer, "up"))
                both.create_task(self._pass(fault.down, reader, down, "down"))
        except* Cut:
            self.cuts += 1
        except* (OSError, asyncio.CancelledError):
            resets = True
        finally:
            for each in writers:
                _end(each, resets=resets)
            self._open.discard(task)

    async def _pass(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        """Pass bytes on in one direction until they end, are cut, or the other side is gone."""
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._arrive(way, reader, line))
            both.create_task(self._leave(way, line, writer, direction))

    async def _arrive(
        self, way: Way, reader: asyncio.StreamReader, line: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        while piece := await reader.read(PIECE):
            delay_s = way.delay_s + way.jitter_s * self._chance.random()
            await line.put((self._loop.time() + delay_s, piece))
        await line.put((0.0, b""))

    async def _leave(
        self,
        way: Way,
        line: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        direction: str,
    ) -> None:
        passed = 0
        while piece := await self._next(line):
            while piece:
                if passed == way.cut_at:
                    raise Cut
                if passed == way.stall_at:
                    await self._released.wait()
                marks = [at - passed for at in (way.cut_at, way.stall_at) if at and at > passed]
                segment = piece[: min(way.slice_bytes, *marks, len(piece))]
                passed += len(segment)
                # Before it is written: who is given the last segment may ask at once.
                self.passed[direction] += len(segment)
                writer.write(segment)
                await writer.drain()
                piece = piece[len(segment) :]
                if way.bytes_per_s is not None:
                    await asyncio.sleep(len(segment) / way.bytes_per_s)
                elif way.slice_bytes < PIECE:
                    await asyncio.sleep(0)  # Or the system joins the segments again.
        with suppress(OSError):
            writer.write_eof()

    async def _next(self, line: asyncio.Queue[tuple[float, bytes]]) -> bytes:
        due, piece = await line.get()
        if (wait_s := due - self._loop.time()) > 0:
            await asyncio.sleep(wait_s)
        return piece


def _address(url: str | None) -> tuple[str, int]:
    if url is None:
        raise ConnectionRefusedError
    host, _, port = url.rpartition("/")[2].rpartition(":")
    return host, int(port)


def _end(writer: asyncio.StreamWriter, *, resets: bool) -> None:
    if resets:
        # To linger for no time makes the system send RST instead of FIN.
        connection: Any = writer.get_extra_info("socket")
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


@contextmanager
def proxy_to(
    service: str | None, plan: Callable[[int], Fault] = lambda n: Fault(), seed: int = 0
) -> Iterator[FaultProxy]:
    """Run a `FaultProxy` for as long as a block lasts."""
    proxy = FaultProxy(service, plan, seed)
    is_listening = threading.Event()
    thread = threading.Thread(target=proxy.run, args=[is_listening])
    thread.start()
    is_listening.wait()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()
