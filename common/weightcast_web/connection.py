"""Connections of callers, with deadlines and limits: uvicorn has none of its own.

They rely on uvicorn's insides: `tests/web/test_connection.py` lists which, and tells a change.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Literal

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from weightcast_web.callers import Limits
from weightcast_web.http.problems import RETRY_AFTER_S, problem

MAX_FIELDS = 100
MAX_ADDRESS_BYTES = 1 << 13
"""Eight times what the longest address of any service takes."""
MAX_PIPELINED = 8
"""Requests that one connection may have waiting; no client of ours sends any before its answer."""
SPARE_CONNECTIONS = 32
"""Connections beyond the limit that are still told so, or asked about health."""
LINGER_S = 5.0
"""How long what a caller still sends is thrown away after a refusal, so that it can be read: a
connection that is closed with bytes unread is reset."""

Waiting = Literal["first", "head", "idle", "rest"]


class Connections:
    """The connections of one service that are waiting, longest first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.waiting: dict[GuardedConnection, None] = {}

    def protocol(self, **more: Any) -> "GuardedConnection":
        """Return the protocol of a new connection, as uvicorn asks for it."""
        return GuardedConnection(self, **more)


class GuardedConnection(HttpToolsProtocol):
    """A connection that refuses bad heads and gives up its place when asked.

    Bad is what is too long, too slow or ambiguous.

    A connection waits for its ``first`` byte, for the rest of a ``head``, ``idle`` for the next
    request, or for the ``rest`` of a body that nobody reads any more; each has its deadline, which
    further bytes do not put off; so has a caller that takes nothing of its answer. The deadlines of
    bodies that are read are those of `weightcast_web.http.bodies`.
    """

    def __init__(self, others: Connections, **more: Any) -> None:
        super().__init__(**more)
        self._others = others
        self._refusal = (400, "bad-request", "this is not a request of HTTP/1.1")
        self._fruitless = 0  # Bytes since a head was complete or bytes of a body came.
        self._in_head = self._in_body = self._is_deaf = self._is_excess = False
        self._head_bytes = 0
        self._cycles: list[RequestResponseCycle] = []  # Being answered, or to be.
        self._waits_for: Waiting | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; beyond the limit close who waits longest, or serve nothing but health."""
        super().connection_made(transport)
        surplus = len(self.connections) - self._others.limits.max_connections
        if surplus > 0 and self._others.waiting:
            next(iter(self._others.waiting)).give_way()
        elif surplus > SPARE_CONNECTIONS:
            self.give_way()
            return
        else:
            self._is_excess = surplus > 0
        self._watch("first")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._watch(None)
        self._hang_up()
        super().connection_lost(exc)
        self.resume_writing()

    def give_way(self) -> None:
        """Close at once, for the sake of other connections."""
        self._watch(None)
        self._hang_up()
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it was refused already."""
        if self._is_deaf or self.transport.is_closing():
            return
        self._fruitless += len(data)
        super().data_received(data)
        if self._is_deaf:
            return
        if self._fruitless > self._others.limits.max_head_bytes:
            self._refuse_head()
            self.send_400_response("")
        else:
            self._watch(self._state())

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address, up to `MAX_ADDRESS_BYTES`."""
        super().on_url(url)
        self._head_bytes += len(url)
        if len(self.url) > MAX_ADDRESS_BYTES:
            self._refuse_head()
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of a head; those behind a body are none, whatever they claim to be."""
        self._head_bytes += len(name) + len(value) + len(b": \r\n")
        too_many = len(self.headers) >= MAX_FIELDS
        if too_many or self._head_bytes > self._others.limits.max_head_bytes:
            self._refuse_head()
            raise ValueError
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request, if its framing and its host are beyond doubt."""
        self._in_head, self._in_body, self._fruitless = False, True, 0
        version = self.parser.get_http_version()
        hosts = len(self._values(b"host"))
        if version not in ("1.0", "1.1") or hosts > 1 or hosts < (version == "1.1"):
            raise ValueError
        if self._values(b"transfer-encoding") not in ([], [b"chunked"]):
            raise ValueError
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError
        if set(self._values(b"content-encoding")) - {b"identity"}:
            self._refusal = 415, "content-encoding", "bodies must not be encoded"
            raise ValueError
        path = self.url.partition(b"?")[0]
        if self._is_excess and path != b"/health" and not path.startswith(b"/health/"):
            self.app = _busy
        super().on_headers_complete()
        going_on = [cycle for cycle in self._cycles if not cycle.response_complete]
        self._cycles = [*going_on, self.cycle]

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._fruitless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the rest of the body, or the next request."""
        super().on_response_complete()
        self._watch(self._state())

    def pause_writing(self) -> None:
        """Wait for a caller that takes nothing of its answer, but not for ever."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self._others.limits.stall_timeout_s, self.give_way)

    def resume_writing(self) -> None:
        """Go on with an answer."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def send_400_response(self, msg: str) -> None:
        """Say why nothing more is taken from this connection, and take nothing more."""
        self._is_deaf = True
        is_answering = self.cycle is not None and self.cycle.response_started
        if self.pipeline or (is_answering and not self.cycle.response_complete):
            self.give_way()
            return
        self._hang_up()
        status, kind, detail = self._refusal
        answer = problem(status, kind, detail)
        fields = [(b"connection", b"close"), *answer.raw_headers]
        head = b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode())
        head += b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(head + b"\r\n" + bytes(answer.body))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._watch("rest")

    def _values(self, wanted: bytes) -> list[bytes]:
        """Return the values of all fields of a name, in lower case."""
        return [value.lower() for name, value in self.headers if name == wanted]

    def _hang_up(self) -> None:
        """Let nothing more be read or answered; uvicorn tells the newest request only."""
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()

    def _refuse_head(self) -> None:
        if len(self.url) > MAX_ADDRESS_BYTES:
            self._refusal = 414, "address-too-long", f"at most {MAX_ADDRESS_BYTES} bytes"
        else:
            limit = self._others.limits.max_head_bytes
            detail = f"at most {limit} bytes and {MAX_FIELDS} fields"
            self._refusal = 431, "head-too-long", detail

    def _state(self) -> Waiting | None:
        """Return what the connection waits for; None if that is our own work."""
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        if self._in_head:
            return "head"
        if self._in_body:
            return "rest"
        return "first" if self.cycle is None else "idle"

    def _watch(self, state: Waiting | None) -> None:
        """Set the deadline of a new state."""
        if state == self._waits_for or (state and self.transport.is_closing()):
            return
        if state == "idle" and self._is_excess:
            self.transport.close()
            return
        self._waits_for = state
        self._others.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if state is not None:
            limits = self._others.limits
            self._others.waiting[self] = None
            after_s = {
                "first": limits.head_timeout_s,
                "head": limits.head_timeout_s,
                "idle": limits.idle_timeout_s,
                "rest": LINGER_S,
            }[state]
            self._deadline = self.loop.call_later(after_s, self._too_late)

    def _too_late(self) -> None:
        if self._waits_for == "head" and not self._is_deaf:
            self._refusal = 408, "head-too-slow", "the head of the request did not come in time"
            self.send_400_response("")
        else:
            self.transport.abort()


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that there are too many connections."""
    detail = "too many connections are open"
    await problem(503, "busy", detail, {"retry-after": RETRY_AFTER_S[503]})(scope, receive, send)
