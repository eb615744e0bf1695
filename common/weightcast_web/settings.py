"""Settings that every service has; each service adds its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import NonNegativeFloat, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from weightcast.errors import ParameterError
from weightcast.plugins import load
from weightcast.registry import Kind
from weightcast_web.callers import Limits


class ServiceSettings(Limits, BaseSettings):
    """What it takes to run a service; more in `Limits`.

    Args:
        host, port: where to listen; port 0 takes a free one.
        token: what callers must show, and what is shown to the service that is called.
        production: refuse to start without a token that nobody can guess.
        log_format: one line per event, for people (`text`) or for programs (`json`).
        log_level: events below it are not logged.
        plugins: Python files with schemes, decoders, channels or tasks, separated by commas.
        plugins_in_production: take plug-ins, installed ones too, in production.
        grace_s: how long calls that are in flight at a signal to stop may take.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: SecretStr | None = None
    production: bool = False
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    plugins: Annotated[tuple[Path, ...], NoDecode] = ()
    plugins_in_production: bool = False
    grace_s: NonNegativeFloat = 5.0

    @field_validator("plugins", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [text for text in value.split(",") if text] if isinstance(value, str) else value

    def load_plugins(self, kinds: Sequence[Kind[Any]]) -> None:
        """Load the plug-ins of these settings, as far as production allows.

        Args:
            kinds: that the service uses.

        Raises:
            ParameterError: production has plug-ins and `plugins_in_production` does not say so.
        """
        if self.production and not self.plugins_in_production:
            Kind.takes_installed = False
            if self.plugins:
                prefix = self.model_config["env_prefix"]
                raise ParameterError(
                    f"production takes plug-ins only with {prefix}PLUGINS_IN_PRODUCTION=true"
                )
        for file in self.plugins:
            load(file, kinds)
