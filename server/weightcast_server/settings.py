"""Settings of the receiver; the only file of it that reads the environment."""

from pathlib import Path

from pydantic import NonNegativeInt, PositiveFloat, SecretStr
from pydantic_settings import SettingsConfigDict

from weightcast_web.callers import Count, Delay, Seconds
from weightcast_web.settings import DEFAULT_CACHE, CacheFolder, Folder, Port, ServiceSettings


class Settings(ServiceSettings):
    """From the environment, `WEIGHTCAST_SERVER_DATA` and so on; more in `ServiceSettings`.

    Args:
        data: folder of the parts and the received models, and of the SQLite database.
        database: PostgreSQL instead of SQLite, `postgresql+psycopg://user:password@host/name`.
        database_wait_s: how long to wait at the start for PostgreSQL to answer.
        cache: folder with the CIFAR-10 test set (`client data` fills it).
        evaluate: load the test set and the evaluator at start.
        max_header_bytes: cap on a header.
        max_side_bytes: cap on side information and carried tensors.
        max_symbols: cap on the symbols of one transmission.
        max_open: transmissions that may be unfinished at once; more are told to come back.
        max_stored_bytes: that the files of all transmissions may take.
        max_flights: parts that may be put on disk for good at once; more wait.
        spare_bytes: disk space that a new transmission must leave free.
        worker_silence_s: a worker that reports no progress for so long is replaced.
        lease_s: work of a receiver that has not been heard of for so long is taken over by others.
        keep_unfinished_s: a transmission that is not complete expires so long after its last part.
        keep_finished_s: parts and model are deleted so long after the end; the result stays.
        failpoint: for tests: where to fail, see `weightcast_web.failpoints`; empty is nowhere.
    """

    model_config = SettingsConfigDict(env_prefix="WEIGHTCAST_SERVER_", extra="forbid")

    data: Folder = Path("weightcast-data")
    database: SecretStr = SecretStr("")
    database_wait_s: Delay = 30.0
    cache: CacheFolder = DEFAULT_CACHE
    port: Port = 8802
    evaluate: bool = True
    max_header_bytes: Count = 1 << 24
    max_side_bytes: Count = 1 << 32
    max_symbols: Count = 1 << 34
    max_open: Count = 256
    max_stored_bytes: Count = 1 << 40
    max_flights: Count = 8
    spare_bytes: NonNegativeInt = 64 << 20
    worker_silence_s: Seconds = 300.0
    lease_s: Seconds = 30.0
    keep_unfinished_s: PositiveFloat = 86_400.0
    keep_finished_s: PositiveFloat = 604_800.0
    failpoint: str = ""
