"""Settings of the link; the only file of it that reads the environment."""

from pydantic_settings import SettingsConfigDict

from weightcast_web.settings import ServiceSettings


class Settings(ServiceSettings):
    """From the environment, `WEIGHTCAST_LINK_RECEIVER` and so on; more in `ServiceSettings`.

    Args:
        receiver: URL of the receiver everything is passed on to.
        connect_timeout_s: how long to try to reach the receiver.
        answer_timeout_s: how long the receiver may be silent.
        max_header_bytes: cap on a header.
        max_flights: parts that may be in memory at once; more wait.
    """

    model_config = SettingsConfigDict(env_prefix="WEIGHTCAST_LINK_", extra="forbid")

    receiver: str = "http://127.0.0.1:8802"
    port: int = 8801
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 60.0
    max_header_bytes: int = 1 << 24
    max_flights: int = 8
