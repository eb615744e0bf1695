"""What `weightcast_web.connection` and `run` rely on of uvicorn's insides, which may change.

If a test here fails after an update, uvicorn has changed: look at what it names, then at
`tests/faults/test_connections.py` and `test_slowness.py`, which hold the deadlines and limits.
"""

import ast
import asyncio
import inspect
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from weightcast_web import connection
from weightcast_web.callers import Limits
from weightcast_web.connection import Connections, GuardedConnection

CALLED_BY_UVICORN = {
    "connection_made": ["transport"],
    "connection_lost": ["exc"],
    "data_received": ["data"],
    "pause_writing": [],
    "resume_writing": [],
    "on_message_begin": [],
    "on_url": ["url"],
    "on_header": ["name", "value"],
    "on_headers_complete": [],
    "on_body": ["body"],
    "on_message_complete": [],
    "on_response_complete": [],
    "send_400_response": ["msg"],
}
"""Methods that are ours in place of uvicorn's, and their parameters."""
OF_A_CONNECTION = {
    *("app", "connections", "cycle", "flow", "headers", "loop"),
    *("parser", "pipeline", "transport", "url"),
}
OF_A_FLOW = {"resume_reading"}
OF_A_REQUEST = {"disconnected", "message_event", "response_complete", "response_started"}
LARGE = 1 << 24
"""Bytes of an answer that no socket takes at once."""

UVICORN = f"uvicorn {uvicorn.__version__}"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await Response(bytes(LARGE if scope["path"] == "/large" else 0))(scope, receive, send)


def serve(*requests: bytes) -> tuple[HttpToolsProtocol, set[str]]:
    """Have uvicorn's own connection answer; return it and which of its methods were called."""
    called = set()

    def noted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any) -> Any:
            called.add(name)
            return method(*words)

        return call

    methods = {name: noted(name, getattr(HttpToolsProtocol, name)) for name in CALLED_BY_UVICORN}
    watched = type("Watched", (HttpToolsProtocol,), methods)

    async def run() -> HttpToolsProtocol:
        config = uvicorn.Config(answer, lifespan="off", ws="none")
        config.load()
        protocol: HttpToolsProtocol = watched(config, ServerState(), {})
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: protocol, theirs)
        for request in requests:
            await loop.sock_sendall(ours, request)
        while await loop.sock_recv(ours, 1 << 20):
            pass
        ours.close()
        return protocol

    return asyncio.run(asyncio.wait_for(run(), 30)), called


def test_uvicorn_calls_the_methods_that_are_ours() -> None:
    head = b"PUT /large HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 4\r\n\r\n"
    protocol, called = serve(head + b"bo", b"dy")
    called |= serve(b"no request\r\n\r\n")[1]
    missing = CALLED_BY_UVICORN.keys() - called
    assert not missing, f"{UVICORN} never calls {sorted(missing)}"
    things = {
        "connection": (protocol, OF_A_CONNECTION),
        "flow": (protocol.flow, OF_A_FLOW),
        "request": (protocol.cycle, OF_A_REQUEST),
    }
    for what, (thing, names) in things.items():
        missing = {name for name in names if not hasattr(thing, name)}
        assert not missing, f"a {what} of {UVICORN} has no {sorted(missing)}"


@pytest.mark.parametrize("name", CALLED_BY_UVICORN)
def test_the_methods_of_uvicorn_take_what_ours_take(name: str) -> None:
    theirs = list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters)[1:]
    assert theirs == CALLED_BY_UVICORN[name], f"{UVICORN}'s {name} takes {theirs}"


def test_a_server_of_uvicorn_is_stopped_as_ours_are() -> None:
    assert list(inspect.signature(uvicorn.Server.shutdown).parameters) == ["self", "sockets"]
    server = uvicorn.Server(uvicorn.Config(answer))
    assert server.should_exit is False
    assert callable(server.handle_exit)


def test_these_lists_name_all_that_is_relied_on() -> None:
    tree = ast.parse(inspect.getsource(connection))

    def attributes_of(*things: str) -> set[str]:
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        return {node.attr for node in nodes if ast.unparse(node.value) in things}

    ours = {name for name in attributes_of("self") if name.startswith("_")}
    ours |= vars(GuardedConnection).keys() | vars(Connections(Limits())).keys()
    assert attributes_of("self") - ours == OF_A_CONNECTION
    assert attributes_of("cycle", "self.cycle") == OF_A_REQUEST
    assert attributes_of("self.flow") == OF_A_FLOW
    overridden = vars(GuardedConnection).keys() & vars(HttpToolsProtocol).keys()
    assert overridden - {"__init__", "__doc__", "__module__"} == CALLED_BY_UVICORN.keys()
