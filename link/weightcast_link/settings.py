"""Settings of the link; the only file of it that reads the environment."""

from pydantic_settings import SettingsConfigDict

from weightcast_web.callers import Count, Seconds
from weightcast_web.settings import Port, ServiceSettings, Url


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

    receiver: Url = "http://127.0.0.1:8802"
    port: Port = 8801
    connect_timeout_s: Seconds = 5.0
    answer_timeout_s: Seconds = 60.0
    max_header_bytes: Count = 1 << 24
    max_flights: Count = 8
