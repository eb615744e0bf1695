"""Settings of the sender; the only file of it that reads the environment."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """From the environment, `WEIGHTCAST_CLIENT_CACHE` and so on.

    Args:
        cache: folder of data sets and of clean accuracies.
        connect_timeout_s: how long to try to reach the other end.
        answer_timeout_s: how long the other end may be silent.
        tries: attempts at one call without progress before giving up.
        flights: parts on their way at once.
    """

    model_config = SettingsConfigDict(env_prefix="WEIGHTCAST_CLIENT_", extra="forbid")

    cache: Path = Path.home() / ".cache" / "weightcast"
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 60.0
    tries: int = 6
    flights: int = 3
