"""The schema is made, migrated and adopted, and a database that cannot be used is refused."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from driver.postgres import Postgres
from driver.store import store_in
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from weightcast.errors import LinkError, ParameterError
from weightcast_server.settings import Settings
from weightcast_server.storing.database import open_store
from weightcast_server.storing.schema import HEAD, MIGRATIONS, bring_up_to_date, migrate
from weightcast_server.storing.store import Store
from weightcast_server.storing.tables import Base
from weightcast_web.running.sockets import DEVELOPMENT_TOKEN

ID = "0" * 32
BEFORE_ALEMBIC = """
CREATE TABLE transmissions (
    id VARCHAR(32) NOT NULL,
    idempotency_key VARCHAR(255),
    state VARCHAR(16) NOT NULL,
    created DOUBLE NOT NULL,
    queued DOUBLE,
    header TEXT NOT NULL,
    side_digest VARCHAR(64),
    report TEXT,
    error TEXT,
    PRIMARY KEY (id),
    UNIQUE (idempotency_key)
);
CREATE INDEX ix_transmissions_created ON transmissions (created);
CREATE INDEX ix_transmissions_state ON transmissions (state);
"""
"""What the receiver made when it had no migrations."""


def make_old_schema(connection: Connection) -> None:
    double = "DOUBLE" if connection.dialect.name == "sqlite" else "DOUBLE PRECISION"
    for statement in filter(str.strip, BEFORE_ALEMBIC.split(";")):
        connection.execute(text(statement.replace("DOUBLE", double)))


@pytest.fixture
def engine(database: str, tmp_path: Path) -> Iterator[Engine]:
    """An engine on an empty database."""
    made = create_engine(database or f"sqlite:///{tmp_path / 'receiver.db'}")
    yield made
    made.dispose()


def described(engine: Engine) -> dict[str, Any]:
    """Return all that the database says about its tables."""
    found = inspect(engine)
    return {
        name: {
            "columns": sorted(
                (c["name"], str(c["type"]), c["nullable"], c["default"])
                for c in found.get_columns(name)
            ),
            "primary": found.get_pk_constraint(name)["constrained_columns"],
            "foreign": [
                (key["constrained_columns"], key["referred_table"], key["options"])
                for key in found.get_foreign_keys(name)
            ],
            "unique": [key["column_names"] for key in found.get_unique_constraints(name)],
            "indexes": sorted((i["name"], i["column_names"]) for i in found.get_indexes(name)),
        }
        for name in found.get_table_names()
    }


def test_the_migrations_make_what_the_models_say(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        migrate(connection, tmp_path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    migrated = described(engine)
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
    bring_up_to_date(engine, tmp_path / "transmissions")
    assert described(engine) == migrated


def test_the_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_database_from_before_the_migrations_is_adopted_with_its_files(
    engine: Engine, database: str, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        make_old_schema(connection)
        connection.execute(
            text(
                "INSERT INTO transmissions (id, state, created, header, side_digest)"
                f" VALUES ('{ID}', 'receiving', 1.5, '{{}}', '{'5' * 64}')"
            )
        )
    folder = tmp_path / "transmissions" / ID
    (folder / "parts").mkdir(parents=True)
    (folder / "side.safetensors").write_bytes(b"side")
    for name in (f"0.{'a' * 64}", f"12.{'b' * 64}", "3.new"):
        (folder / "parts" / name).touch()
    began = time.time()
    store = store_in(tmp_path, database)
    assert store.parts(ID) == {0: "a" * 64, 12: "b" * 64}
    row = store.get(ID)
    assert (row.state, row.created, row.tries) == ("receiving", 1.5, 0)
    assert row.touched >= began
    assert (folder / f"side.{'5' * 64}.safetensors").read_bytes() == b"side"
    store.close()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    engine: Engine, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        make_old_schema(connection)
        insert = "INSERT INTO transmissions (id, state, created, header) VALUES ('{}', '', 0, '')"
        connection.execute(text(insert.format(ID)))
    before = described(engine)
    parts = tmp_path / ID / "parts"
    parts.mkdir(parents=True)
    (parts / f"0.{'a' * 64}").touch()
    (parts / f"0.{'b' * 64}").touch()  # Two files of one part: the primary key refuses them.
    with pytest.raises(Exception, match=r"parts"):
        bring_up_to_date(engine, tmp_path)
    assert described(engine) == before
    (parts / f"0.{'b' * 64}").unlink()
    bring_up_to_date(engine, tmp_path)
    assert "parts" in described(engine)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("is_old", [False, True])
def test_several_receivers_may_migrate_at_once(
    is_old: bool, engine: Engine, database: str, tmp_path: Path
) -> None:
    if is_old:
        with engine.begin() as connection:
            make_old_schema(connection)
    start = threading.Barrier(4)

    def run(_: int) -> None:
        start.wait()
        store_in(tmp_path, database).close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [
            (HEAD,)
        ]


def test_a_newer_schema_is_refused(engine: Engine, database: str, tmp_path: Path) -> None:
    bring_up_to_date(engine, tmp_path / "transmissions")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ParameterError, match="the database has schema 9999, newer than"):
        store_in(tmp_path, database)


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "postgresql://u:secret@h/d",
        "sqlite:///secret",
        "postgresql+psycopg://u:secret@h",
        "postgresql+psycopg://u:secret@/d",
        "postgresql+psycopg://u:secret@h:port/d",
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="must be postgresql") as caught:
        store_in(tmp_path, url)
    assert "secret" not in str(caught.value)
    assert url not in repr(Settings(data=tmp_path, database=SecretStr(url)))


def test_production_refuses_the_password_for_trying(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://u:{DEVELOPMENT_TOKEN}@h/d"
    with pytest.raises(ParameterError, match="production needs a database password of its own"):
        open_store(Settings(data=tmp_path, database=SecretStr(url), production=True))


def test_a_database_that_is_not_there_is_refused_after_a_bounded_time(tmp_path: Path) -> None:
    url = unreachable_url()
    began = time.monotonic()
    with pytest.raises(LinkError, match=r"no database at 127.0.0.1:\d+/name: ") as caught:
        open_store(Settings(data=tmp_path, database=SecretStr(url), database_wait_s=0.5))
    assert 0.5 <= time.monotonic() - began < 10
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("url", "code"), [("postgresql://u:secret@h/d", 2), (None, 1)])
def test_the_command_says_in_one_line_what_is_wrong_with_the_database(
    url: str | None, code: int, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "weightcast_server.cli", "run", f"--data={tmp_path}", "--port=0"],
        env=os.environ
        | {
            "WEIGHTCAST_SERVER_DATABASE": url or unreachable_url(),
            "WEIGHTCAST_SERVER_DATABASE_WAIT_S": "0",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == code
    assert ran.stderr.startswith("error: ") and ran.stderr.count("\n") == 1
    assert "secret" not in ran.stderr


def unreachable_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"postgresql+psycopg://user:secret@127.0.0.1:{port}/name"


@pytest.mark.slow
def test_the_start_of_a_receiver_waits_for_the_database(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    postgres.stop()
    opened: list[Store] = []
    thread = threading.Thread(target=lambda: opened.append(store_in(tmp_path, url)))
    thread.start()
    postgres.start()
    thread.join(60)
    assert opened[0].ids() == set()
    opened[0].close()


def test_no_alembic_is_imported_for_a_new_folder(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from weightcast_server.app import create_app;"
        "from weightcast_server.settings import Settings;"
        f"create_app(Settings(data=Path({str(tmp_path)!r})), worker=object());"
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert sqlite3.connect(tmp_path / "receiver.db").execute(
        "SELECT version_num FROM alembic_version"
    ).fetchall() == [(HEAD,)]


def test_a_receiver_of_a_sender_s_own_keeps_to_its_own_folder(tmp_path: Path) -> None:
    words = ["run", f"--data={tmp_path / 'data'}", "--port=0", "--no-evaluate", "--forget"]
    process = subprocess.Popen(
        [sys.executable, "-m", "weightcast_server.cli", *words],
        env=os.environ | {"WEIGHTCAST_SERVER_DATABASE": unreachable_url()},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "listening on" in process.stderr.readline()
    assert (tmp_path / "data" / "receiver.db").exists()
    process.terminate()
    process.communicate(timeout=30)


def test_an_empty_database_is_refused_where_there_are_files_of_another(
    engine: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "transmissions"
    kept = folder / ("0" * 32) / "parts" / "0"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"received")
    with pytest.raises(ParameterError, match="the database is empty, but the data folder has"):
        bring_up_to_date(engine, folder)
    assert not inspect(engine).get_table_names()
    assert kept.read_bytes() == b"received"
    shutil.rmtree(folder)
    bring_up_to_date(engine, folder)
