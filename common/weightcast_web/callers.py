"""Limits: what one caller may take up of a service."""

from typing import Annotated

from pydantic import BaseModel, Field

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=1e6)]
Delay = Annotated[float, Field(ge=0, le=1e6)]
"""Seconds that may be none; no socket takes more than 2e6."""


class Limits(BaseModel):
    """Limits on connections, heads and bodies.

    Args:
        max_connections: open at once; beyond them those that have waited longest without asking
            anything are closed, and if all are busy only `/health` is answered, the rest with 503.
        max_head_bytes: of a request line and its fields together.
        head_timeout_s: time from the first byte of a head to its last.
        idle_timeout_s: how long a connection may wait for the next request.
        body_grace_s: time that a body may be late.
        min_body_bytes_per_s: a body that is slower is late sooner or later.
        stall_timeout_s: how long a caller may take nothing of an answer that is there for it.
    """

    max_connections: Count = 512
    max_head_bytes: Count = 1 << 14
    head_timeout_s: Seconds = 10.0
    idle_timeout_s: Seconds = 30.0
    body_grace_s: Delay = 30.0
    min_body_bytes_per_s: Annotated[float, Field(gt=0)] = 16_000.0
    stall_timeout_s: Seconds = 60.0
