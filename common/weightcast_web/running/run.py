"""Running a service on a socket."""

import logging
import math
import os
import signal
import socket
import threading

import uvicorn
from fastapi import FastAPI

from weightcast_web.connection import Connections
from weightcast_web.running.sockets import address_of
from weightcast_web.settings import ServiceSettings
from weightcast_web.telemetry.logs import tell

_log = logging.getLogger(__name__)
CLOSING_S = 0.8
"""What closing the worker and the database may take after the grace period."""


def serve(
    app: FastAPI, listener: socket.socket, settings: ServiceSettings, *, attached: bool
) -> None:
    """Serve until a signal comes; then let what is in flight end.

    Args:
        app: the service; `app.state.streams` are ended first.
        listener: from `sockets.listen`.
        settings: limits on connections and heads, and how long calls in flight may take.
        attached: stop when standard input closes too: a parent that dies, however it dies, takes
            the service with it.
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        http=Connections(settings).protocol,  # type: ignore[arg-type] # It calls what it is given.
        timeout_keep_alive=math.ceil(settings.idle_timeout_s),
        timeout_graceful_shutdown=settings.grace_s,  # type: ignore[arg-type]
        server_header=False,
        ws="none",
    )
    server = _Server(config, app, settings.grace_s)
    if attached:

        def stop_at_end_of_input() -> None:
            # Not sys.stdin: its lock, held by a daemon thread, makes the interpreter abort at exit.
            while os.read(0, 4096):
                pass
            server.should_exit = True

        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    else:
        tell(_log, f"listening on {address_of(listener)}")
    # The server raises the signal again when it has stopped, and that must not kill the process.
    signal.signal(signal.SIGTERM, server.handle_exit)
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that ends within the grace period and `CLOSING_S`, whatever hangs."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, grace_s: float) -> None:
        super().__init__(config)
        self._app, self._grace_s = app, grace_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let calls end, close the app."""
        tell(_log, "stopping", grace_s=self._grace_s)
        self._app.state.streams.end()
        end = threading.Timer(self._grace_s + CLOSING_S, _cut_off)
        end.daemon = True
        end.start()
        await super().shutdown(sockets)
        tell(_log, "stopped")


def _cut_off() -> None:
    """End at once: what was acknowledged is on disk."""
    tell(_log, "cut off", logging.ERROR)
    os._exit(1)
