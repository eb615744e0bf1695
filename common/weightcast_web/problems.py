"""Errors as problem details (RFC 9457)."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from weightcast.errors import LinkError, UnknownNameError, WeightcastError
from weightcast_web.refusal import Refusal

_log = logging.getLogger(__name__)


def problem(
    status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **fields: Any
) -> JSONResponse:
    """Return a problem-details answer."""
    body = {
        "type": f"urn:weightcast:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **fields,
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Turn every deliberate error into a problem; anything else is a 500 with a log entry."""

    @app.exception_handler(WeightcastError)
    async def refuse(request: Request, error: WeightcastError) -> JSONResponse:
        match error:
            case Refusal():
                return problem(error.status, error.kind, str(error), None, **error.fields)
            case LinkError():
                return problem(502, "link-error", str(error))
            case UnknownNameError():
                return problem(422, "unknown-name", str(error))
            case _:
                return problem(422, _kebab(type(error).__name__), str(error))

    @app.exception_handler(HTTPException)
    async def answer(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        kind = phrase.lower().replace(" ", "-")
        return problem(error.status_code, kind, phrase.lower(), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def explain(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        return problem(422, "request", f"{where}: {first['msg']}")

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "internal", "the service failed; its log says why")


def _kebab(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).strip("-")
