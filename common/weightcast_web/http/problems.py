"""Errors as problem details (RFC 9457)."""

import logging
import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from weightcast.errors import LinkError, UnknownNameError, WeightcastError
from weightcast_web.refusal import Refusal
from weightcast_web.telemetry.logs import tell

_log = logging.getLogger(__name__)
MAX_DETAIL = 400
"""Some details quote what was sent, which may be long."""
RETRY_AFTER_S = {503: "1", 507: "60"}
"""When to call again: what is busy or down is back in seconds, what is full takes longer."""


def problem(
    status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **fields: Any
) -> JSONResponse:
    """Return a problem-details answer with one line of at most `MAX_DETAIL` characters."""
    body = {
        "type": f"urn:weightcast:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": " ".join(detail[:MAX_DETAIL].split()),
        **fields,
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def refuse(
    scope: Scope,
    status: int,
    kind: str,
    detail: str,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> JSONResponse:
    """Log that a call is refused, and return the answer that says so."""
    tell(
        _log,
        "refused",
        logging.WARNING,
        transmission=transmission_in(scope["path"]),
        status=status,
        type=kind,
        method=scope["method"],
        path=scope["path"],
        detail=detail,
    )
    return problem(status, kind, detail, headers, **fields)


def transmission_in(path: str) -> str | None:
    """Return the id of the transmission that a path is about."""
    found = re.match("/transmissions/([0-9a-f]{32})(?:/|$)", path)
    return found[1] if found else None


def install(app: FastAPI) -> None:
    """Turn every deliberate error into a problem; anything else is a 500 with a log entry."""

    @app.exception_handler(WeightcastError)
    async def explain_ours(request: Request, error: WeightcastError) -> JSONResponse:
        match error:
            case Refusal():
                after_s = RETRY_AFTER_S.get(error.status)
                again = {"retry-after": after_s} if after_s else None
                return refuse(
                    request.scope, error.status, error.kind, str(error), again, **error.fields
                )
            case LinkError():
                return refuse(request.scope, 502, "link-error", str(error))
            case UnknownNameError():
                return refuse(request.scope, 422, "unknown-name", str(error))
            case _:
                return refuse(request.scope, 422, _kebab(type(error).__name__), str(error))

    @app.exception_handler(HTTPException)
    async def answer(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase.lower()
        kind = phrase.replace(" ", "-")
        return refuse(request.scope, error.status_code, kind, phrase, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def explain(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        return refuse(request.scope, 422, "request", f"{where}: {first['msg']}")

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> JSONResponse:
        # The server logs the traceback.
        return refuse(request.scope, 500, "internal", "the service failed; its log says why")


def _kebab(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).strip("-")
