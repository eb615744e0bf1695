"""The database behind the store: SQLite in the data folder, or PostgreSQL by URL."""

import time
from collections.abc import Callable

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from weightcast.errors import LinkError, ParameterError, WeightcastError
from weightcast_server.settings import Settings
from weightcast_server.storing.schema import bring_up_to_date
from weightcast_server.storing.store import Store
from weightcast_web.running.sockets import DEVELOPMENT_TOKEN
from weightcast_web.sqlite import engine_of

DRIVER = "postgresql+psycopg"
CONNECT_S = 5
STATEMENT_S = 10
PAUSE_S = 0.2


def open_store(settings: Settings, clock: Callable[[], float] = time.time) -> Store:
    """Open the database, make or migrate its schema, and return the store.

    Args:
        settings: where the database is, and how long to wait for a server.
        clock: seconds since 1970.

    Raises:
        ParameterError: the URL or the database is none that can be used.
        LinkError: no server answers.
    """
    text = settings.database.get_secret_value()
    engine = _postgresql(_parse(text)) if text else engine_of(settings.data / "receiver.db")
    if settings.production and engine.url.password == DEVELOPMENT_TOKEN:
        raise ParameterError(
            "production needs a database password of its own: the one given is for trying"
            " (Compose: set WEIGHTCAST_DATABASE_PASSWORD)"
        )
    store = Store(engine, clock)
    try:
        _bring_up_to_date(engine, settings)
        if not store.is_shared:
            store.free()  # Nobody else is here: whoever had claimed something has crashed.
    except WeightcastError:
        store.close()
        raise
    return store


def _postgresql(url: URL) -> Engine:
    limits = {
        "statement_timeout": f"{STATEMENT_S}s",
        "idle_in_transaction_session_timeout": f"{STATEMENT_S}s",
    }
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=CONNECT_S,
        connect_args={
            "connect_timeout": CONNECT_S,
            "tcp_user_timeout": 1000 * STATEMENT_S,
            "keepalives_idle": STATEMENT_S,
            "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
        },
    )


def _bring_up_to_date(engine: Engine, settings: Settings) -> None:
    """Make or migrate the schema; wait for a server that does not answer yet."""
    url = engine.url
    is_server = url.host is not None
    where = (
        f"at {url.host}:{url.port or 5432}/{url.database}" if is_server else f"in '{settings.data}'"
    )
    until = time.monotonic() + settings.database_wait_s
    while True:
        try:
            bring_up_to_date(engine, settings.data / "transmissions")
            return
        except DBAPIError as error:
            if not (is_server and isinstance(error, OperationalError)):
                raise ParameterError(f"cannot open the database {where}: {error.orig}") from None
            if time.monotonic() >= until:
                raise LinkError(f"no database {where}: {error.orig}") from None
        time.sleep(PAUSE_S)


def _parse(text: str) -> URL:
    """Return the URL; what is wrong with it is told without it, for it holds a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername != DRIVER or not url.host or not url.database:
        raise ParameterError(
            f"WEIGHTCAST_SERVER_DATABASE must be {DRIVER}://user:password@host:port/name"
        )
    return url
