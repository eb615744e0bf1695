"""Settings of the receiver; the only file of it that reads the environment."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """From the environment, `WEIGHTCAST_SERVER_DATA` and so on.

    Args:
        data: folder of the database, the parts and the received models.
        cache: folder with the CIFAR-10 test set (`client data` fills it).
        host, port: where to listen; port 0 takes a free one.
        evaluate: load the test set and the evaluator at start.
        max_header_bytes: cap on a header.
        max_side_bytes: cap on side information and carried tensors.
        max_symbols: cap on the symbols of one transmission.
        max_flights: parts that may be in memory at once; more wait.
        spare_bytes: disk space that a new transmission must leave free.
        worker_silence_s: a worker that reports no progress for so long is replaced.
    """

    model_config = SettingsConfigDict(env_prefix="WEIGHTCAST_SERVER_", extra="forbid")

    data: Path = Path("weightcast-data")
    cache: Path = Path.home() / ".cache" / "weightcast"
    host: str = "127.0.0.1"
    port: int = 8802
    evaluate: bool = True
    max_header_bytes: int = 1 << 16
    max_side_bytes: int = 1 << 32
    max_symbols: int = 1 << 34
    max_flights: int = 8
    spare_bytes: int = 64 << 20
    worker_silence_s: float = 300.0
