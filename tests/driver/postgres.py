"""A PostgreSQL server of the tests' own."""

import os
import pwd
import shutil
import signal
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from weightcast_web.running.sockets import bind

PASSWORD = "p-7:ä@s/s"
QUOTED = "p-7%3A%C3%A4%40s%2Fs"


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
        command = [str(self._programs / program), f"-D{self._folder / 'data'}", *words]
        environment = os.environ | {"LC_ALL": "C"}
        ran = subprocess.run(
            command, capture_output=True, text=True, cwd=self._folder, env=environment, **self._as
        )
        assert ran.returncode == 0, ran.stderr


def programs_of_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs; Debian keeps them off the path."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in folders), default=None)
