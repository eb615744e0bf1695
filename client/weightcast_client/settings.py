"""Settings of the sender; the only file of it that reads the environment."""

import os
import secrets
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from weightcast_web.callers import Count, Seconds
from weightcast_web.settings import (
    DEFAULT_CACHE,
    CacheFolder,
    Folder,
    Port,
    ServiceSettings,
    Url,
)


def forget_notebook() -> None:
    """Forget what a notebook tells the commands that it starts about drawing: they draw files.

    matplotlib refuses to be imported where this names something that is not installed.
    """
    os.environ.pop("MPLBACKEND", None)


class Settings(ServiceSettings):
    """From the environment, `WEIGHTCAST_CLIENT_CACHE` and so on; more in `ServiceSettings`.

    Args:
        cache: folder of data sets and of clean accuracies.
        connect_timeout_s: how long to try to reach the other end.
        answer_timeout_s: how long the other end may be silent.
        tries: attempts at one call without progress before giving up.
        flights: parts on their way at once.
        link: URL of the link that is used when neither a link nor a receiver is given.
        data: folder of the sender service's database.
        models: folder of the models that the sender service sends besides those that are shipped.
        max_queued: sends that may wait in the sender service; more are refused.
        patience: the sender service's `tries`, with waits of at most 5 s between them.
    """

    model_config = SettingsConfigDict(env_prefix="WEIGHTCAST_CLIENT_", extra="forbid")

    cache: CacheFolder = DEFAULT_CACHE
    connect_timeout_s: Seconds = 5.0
    answer_timeout_s: Seconds = 60.0
    tries: Count = 6
    flights: Count = 3
    link: Url | None = None
    data: Folder = Path("weightcast-sends")
    models: Folder = Path("weightcast-models")
    port: Port = 8800
    max_queued: Count = 100
    patience: Count = 150

    def with_token(self) -> "Settings":
        """Return these settings with a token that other users of this machine do not know."""
        token = self.token or SecretStr(secrets.token_urlsafe(32))
        return self.model_copy(update={"token": token})

    def environment_of_services(self) -> dict[str, str]:
        """Return the environment of a link and a receiver that share the token, if there is one."""
        if self.token is None:
            return dict(os.environ)
        token = self.token.get_secret_value()
        return os.environ | {"WEIGHTCAST_LINK_TOKEN": token, "WEIGHTCAST_SERVER_TOKEN": token}

    def environment(self) -> dict[str, str]:
        """Return an environment in which a process of ours finds these settings."""
        values = self.model_dump(mode="json", exclude_none=True)
        values["plugins"] = ",".join(values["plugins"])
        if self.token is not None:
            values["token"] = self.token.get_secret_value()
        return os.environ | {f"WEIGHTCAST_CLIENT_{n.upper()}": str(v) for n, v in values.items()}
