"""The receiver's tests run on SQLite and on PostgreSQL, a real server for the session."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver.postgres import Postgres, programs_of_postgres
from driver.services import Driver
from driver.store import Claimant, Clock, store_in

from weightcast_server.storing.store import Store

LEASE_S = 2.0
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that runs; skips where its programs are not installed."""
    programs = programs_of_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian's package is `postgresql`)")
    folder = Path(tempfile.mkdtemp(prefix="weightcast-postgres-"))
    try:
        server = Postgres(programs, folder)
        server.prepare()
        server.start()
        yield server
        server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def database_of(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """A call that returns the setting `database` of an empty database of a kind."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return ""
        server: Postgres = request.getfixturevalue("postgres")
        return server.database()

    return make


@pytest.fixture(params=["sqlite", POSTGRESQL])
def database(request: pytest.FixtureRequest, database_of: Callable[[str], str]) -> str:
    """The setting `database`: SQLite in the data folder, then an empty PostgreSQL database."""
    return database_of(request.param)


@pytest.fixture
def driver(database: str) -> Driver:
    """Starts services on either database."""
    return Driver(database=database, lease_s=LEASE_S)


@pytest.fixture(scope="module", params=["sqlite", POSTGRESQL])
def services_database(request: pytest.FixtureRequest, database_of: Callable[[str], str]) -> str:
    """The same for `services`."""
    return database_of(request.param)


@pytest.fixture
def clock() -> Clock:
    """A clock for the store."""
    return Clock()


@pytest.fixture
def store(database: str, tmp_path: Path) -> Iterator[Store]:
    """The store of the receivers in the test's folder."""
    opened = store_in(tmp_path, database)
    yield opened
    opened.close()


@pytest.fixture
def claimant(store: Store) -> Claimant:
    """A call that returns who works on a transmission."""
    return lambda path: store.get(path.rpartition("/")[2]).claimed_by
