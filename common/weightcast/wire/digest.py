"""`Content-Digest` fields (RFC 9530), sha-256 only."""

import base64
import hashlib
from typing import Any

from weightcast.errors import FormatError

_PREFIX, _SUFFIX = "sha-256=:", ":"


def content_digest(sha256: bytes) -> str:
    """Return the field value for a SHA-256 digest.

    >>> content_digest(hashlib.sha256(b"").digest())
    'sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:'
    """
    return f"{_PREFIX}{base64.b64encode(sha256).decode()}{_SUFFIX}"


def digest_of(data: Any) -> str:
    """Return the field value for some bytes."""
    return content_digest(hashlib.sha256(data).digest())


def parse_digest(field: str) -> bytes:
    """Return the SHA-256 digest in a field value; other algorithms in the list are skipped.

    Raises:
        FormatError: there is none.
    """
    for member in field.split(","):
        text = member.strip()
        if text.startswith(_PREFIX) and text.endswith(_SUFFIX):
            try:
                digest = base64.b64decode(text[len(_PREFIX) : -1], validate=True)
            except ValueError:  # Not base64, or not even ASCII.
                continue
            if len(digest) == 32:
                return digest
    raise FormatError(f"Content-Digest holds no sha-256 digest: {field[:100]!r}")
