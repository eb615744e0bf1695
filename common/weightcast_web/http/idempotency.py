"""Idempotency keys: the same key gives the same thing."""

from fastapi import Request

from weightcast_web.refusal import Refusal

MAX_KEY = 255


def idempotency_key(request: Request) -> str | None:
    """Return the key that a request came with, if any, or refuse with 400."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise Refusal(400, "idempotency-key", f"an Idempotency-Key has 1 to {MAX_KEY} characters")
    return key
