"""Settings that every service has; each service adds its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from weightcast.errors import ParameterError
from weightcast.models.naming import shown
from weightcast.paths import expanded
from weightcast.plugins import load
from weightcast.registry import Kind
from weightcast_web.callers import Delay, Limits


def _url(text: str) -> str:
    """Return the address of a service as it is, if it is one."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError
    return text


def _with_home(path: Path) -> Path:
    """Return a path with the home folder in it; as it is where nobody knows that.

    Whoever uses the folder then says so: most commands do not.
    """
    try:
        return expanded(path)
    except ParameterError:
        return path


Url = Annotated[str, AfterValidator(_url)]
Folder = Annotated[Path, AfterValidator(_with_home)]
CacheFolder = Annotated[Folder, Field(validate_default=True)]
Port = Annotated[int, Field(ge=0, le=65535)]

DEFAULT_CACHE = Path("~/.cache/weightcast")

_ALLOWED = {
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "at most {le:.0f}",
    "int_parsing": "an integer",
    "int_parsing_size": "an integer",
    "float_parsing": "a number",
    "bool_parsing": "true or false",
    "literal_error": "{expected}",
    "value_error": "a URL such as http://127.0.0.1:8801",
}
"""What a setting must be, by the kind of pydantic's errors; the braces are for their context."""


class ServiceSettings(Limits, BaseSettings):
    """What it takes to run a service; more in `Limits`. An empty variable stands for the default.

    Args:
        host, port: where to listen; port 0 takes a free one.
        token: what callers must show, and what is shown to the service that is called.
        production: refuse to start without a token that nobody can guess.
        log_format: one line per event, for people (`text`) or for programs (`json`).
        log_level: events below it are not logged.
        plugins: Python files with schemes, decoders, channels or tasks, separated by commas.
        plugins_in_production: take plug-ins, installed ones too, in production.
        grace_s: how long calls that are in flight at a signal to stop may take.

    Raises:
        ParameterError: a value that there cannot be; names the variable or the option.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True)

    host: str = "127.0.0.1"
    port: Port = 0
    token: SecretStr | None = None
    production: bool = False
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    plugins: Annotated[tuple[Folder, ...], NoDecode] = ()
    plugins_in_production: bool = False
    grace_s: Delay = 5.0

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise ParameterError(self._said(error, given)) from None

    @field_validator("plugins", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [text for text in value.split(",") if text] if isinstance(value, str) else value

    @classmethod
    def _said(cls, error: ValidationError, given: dict[str, Any]) -> str:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = f"--{name}" if name in given else cls.model_config["env_prefix"] + name.upper()
        allowed = _ALLOWED.get(first["type"], first["msg"]).format(**first.get("ctx", {}))
        value = shown(str(first["input"]))
        is_number = first.get("ctx", {}).keys() & {"ge", "gt", "le"}
        return f"{where} must be {allowed}, got {value[1:-1] if is_number else value}"

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
