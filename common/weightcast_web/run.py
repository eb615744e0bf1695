"""Running a service on a socket of its own."""

import json
import socket
import sys
import threading

import uvicorn
from fastapi import FastAPI

from weightcast.errors import ParameterError


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises:
        ParameterError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ParameterError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address of a listening socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listener: socket.socket, *, attached: bool) -> None:
    """Serve until a signal comes.

    Args:
        app: the service.
        listener: from `bind`.
        attached: print one JSON line with the URL and stop when standard input closes: a parent
            that dies, however it dies, takes the service with it.
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        h11_max_incomplete_event_size=1 << 14,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    server = uvicorn.Server(config)
    if attached:
        print(json.dumps({"url": url_of(listener)}), flush=True)

        def stop_at_end_of_input() -> None:
            sys.stdin.buffer.read()
            server.should_exit = True

        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    else:
        print(f"listening on {url_of(listener)}", file=sys.stderr, flush=True)
    server.run(sockets=[listener])
