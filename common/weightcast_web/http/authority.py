"""Authority: who may call a service."""

import hmac

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from weightcast_web.http.problems import refuse

OPEN = ("/health", "/health/live")
"""Paths that need no token."""


class Authority:
    """A guard: calls without the token are refused before anything of their bodies is read.

    Args:
        app: what is guarded.
        token: expected as `Authorization: Bearer TOKEN` (RFC 6750, section 2.1).
    """

    def __init__(self, app: ASGIApp, token: SecretStr) -> None:
        self._app, self._token = app, token.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on or refuse it."""
        if scope["type"] == "lifespan" or scope["path"] in OPEN or self._is_shown(scope):
            await self._app(scope, receive, send)
        else:
            fields = {"www-authenticate": "Bearer"}
            answer = refuse(scope, 401, "unauthorised", "this call needs the token", fields)
            await answer(scope, receive, send)

    def _is_shown(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = b"".join(given).partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)


def guard(app: FastAPI, token: SecretStr | None) -> None:
    """Let an app answer only those who show the token, if there is one."""
    if token is not None:
        app.add_middleware(Authority, token=token)
