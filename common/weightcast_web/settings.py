"""Settings that every service has; each service adds its own."""

from typing import Literal

from pydantic import NonNegativeFloat, SecretStr
from pydantic_settings import BaseSettings

from weightcast_web.limits import Limits


class ServiceSettings(Limits, BaseSettings):
    """What it takes to run a service; more in `Limits`.

    Args:
        host, port: where to listen; port 0 takes a free one.
        token: what callers must show, and what is shown to the service that is called.
        production: refuse to start without a token that nobody can guess.
        log_format: one line per event, for people (`text`) or for programs (`json`).
        log_level: events below it are not logged.
        grace_s: how long calls that are in flight at a signal to stop may take.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: SecretStr | None = None
    production: bool = False
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    grace_s: NonNegativeFloat = 5.0
