"""Running a service on a socket."""

import os
import socket
import sys
import threading

import uvicorn
from fastapi import FastAPI

from weightcast_web.sockets import url_of


def serve(app: FastAPI, listener: socket.socket, *, attached: bool) -> None:
    """Serve until a signal comes.

    Args:
        app: the service.
        listener: from `sockets.bind` or `sockets.inherit`.
        attached: stop when standard input closes too: a parent that dies, however it dies, takes
            the service with it.
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        h11_max_incomplete_event_size=1 << 14,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        server_header=False,
        ws="none",
    )
    server = uvicorn.Server(config)
    if attached:

        def stop_at_end_of_input() -> None:
            # Not sys.stdin: its lock, held by a daemon thread, makes the interpreter abort at exit.
            while os.read(0, 4096):
                pass
            server.should_exit = True

        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    else:
        print(f"listening on {url_of(listener)}", file=sys.stderr, flush=True)
    server.run(sockets=[listener])
