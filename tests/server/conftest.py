"""The receiver's tests run on SQLite and on PostgreSQL, a real server for the session."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from weightcast.wire.symbols import STAMP
from weightcast_server.settings import Settings
from weightcast_server.storing.database import open_store
from weightcast_server.storing.store import Store
from weightcast_web.running.sockets import bind

PASSWORD = "p-7:ä@s/s"
QUOTED = "p-7%3A%C3%A4%40s%2Fs"
LEASE_S = 2.0


class Postgres:
    """A PostgreSQL server of one's own on a free port, with its files in a temporary folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root.
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        with bind("127.0.0.1", 0) as listener:
            self.port = listener.getsockname()[1]
        self._numbers = count()
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make the files of the server."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "--username=weightcast", "--auth=scram-sha-256", "--no-sync",
                  "--encoding=UTF8", "--no-locale", f"--pwfile={secret}")  # fmt: skip

    def start(self) -> None:
        """Start the server and return when it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    f"-D{self._folder / 'data'}",
                    f"-p{self.port}",
                    "-clisten_addresses=127.0.0.1",
                    "-cunix_socket_directories=",
                    "-cfsync=off",  # It helps when the machine crashes; here only programs do.
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as,
            )
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                pass

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server; connections are cut. SIGQUIT is quicker, for the last time."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(timeout=60)

    def connect(self, name: str) -> psycopg.Connection[Any]:
        """Connect to a database directly."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="weightcast",
            password=PASSWORD,
            dbname=name,
            autocommit=True,
        )

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test{next(self._numbers)}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://weightcast:{QUOTED}@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *words: str) -> None:
        command = [self._programs / program, f"-D{self._folder / 'data'}", *words]
        environment = os.environ | {"LC_ALL": "C"}
        ran = subprocess.run(
            command, capture_output=True, cwd=self._folder, env=environment, **self._as
        )
        assert ran.returncode == 0, ran.stderr.decode()


def programs_of_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs; Debian keeps them off the path."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in folders), default=None)


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


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, database_of: Callable[[str], str]) -> str:
    """The setting `database`: SQLite in the data folder, then an empty PostgreSQL database."""
    return database_of(request.param)


@pytest.fixture
def joined(joined: Any, database: str) -> Any:
    """`join` on either database."""
    return partial(joined, database=database, lease_s=LEASE_S)


@pytest.fixture
def running(running: Any, database: str) -> Any:
    """`run_service` on either database."""
    environment = {
        **os.environ,
        "WEIGHTCAST_SERVER_DATABASE": database,
        "WEIGHTCAST_SERVER_LEASE_S": str(LEASE_S),
    }
    return partial(running, env=environment)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def services_database(request: pytest.FixtureRequest, database_of: Callable[[str], str]) -> str:
    """The same for `services`."""
    return database_of(request.param)


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock for the store."""
    return Clock()


def wait_for(what: Callable[[], Any]) -> Any:
    """Return what a call returns as soon as it is something."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if found := what():
            return found
    raise TimeoutError


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """`wait_for`."""
    return wait_for


@pytest.fixture(scope="session")
def stop() -> Callable[[int], None]:
    """A call that freezes a process and waits until it is frozen."""

    def call(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        stat = Path(f"/proc/{pid}/stat")
        wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    return call


@pytest.fixture
def store(database: str, tmp_path: Path) -> Iterator[Store]:
    """The store of the receivers in the test's folder."""
    opened = open_store(Settings(data=tmp_path, database=database))
    yield opened
    opened.close()


@pytest.fixture
def claimant(store: Store) -> Callable[[str], str | None]:
    """A call that returns who works on a transmission: (path)."""
    return lambda path: store.get(path.rpartition("/")[2]).claimed_by


@pytest.fixture
def delivered(opened: Any, put: Any) -> Callable[[httpx.Client, Any], str]:
    """A call that sends all of a transmission, and that it is complete; returns its path."""

    def call(client: httpx.Client, sent: Any) -> str:
        path: str = opened(client, sent.header)
        for n, part in enumerate(sent.parts):
            assert put(client, f"{path}/parts/{n}", part, **{STAMP: "awgn"}).status_code == 204
        assert put(client, f"{path}/side", sent.side).status_code == 204
        assert client.post(f"{path}/complete").status_code == 202
        return path

    return call
