"""The schema of the database: made when it is empty, migrated when it is old.

Alembic takes a tenth of a second to import, so it is left alone unless something is to be migrated;
a test holds what is made here equal to what the migrations make.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from weightcast.errors import ParameterError
from weightcast_server.storing.tables import Base, Row

HEAD = "0002"
"""The newest revision in `migrations/versions`."""

BEFORE_ALEMBIC = "0001"
MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x77656967
"""Number of PostgreSQL's advisory lock that keeps receivers from migrating at once; any will do."""


def bring_up_to_date(engine: Engine, transmissions: Path) -> None:
    """Make or migrate the schema in one transaction; safe when several receivers do it at once.

    Args:
        engine: of the database.
        transmissions: folder of the files, which a migration may need.

    Raises:
        ParameterError: the schema is newer than this program, or the database is empty while there
            are files: those of another one, which would be taken for what crashes leave behind.
    """
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with engine.begin() as connection:
        _lock(connection)
        revision = _revision(connection)
        if revision is None:
            if transmissions.is_dir() and any(transmissions.iterdir()):
                raise ParameterError(
                    "the database is empty, but the data folder has transmissions of another one: "
                    "restore that one, or remove the folder 'transmissions'"
                )
            Base.metadata.create_all(connection)
            stamp(connection, HEAD)
        elif revision != HEAD:
            if not inspect(connection).has_table("alembic_version"):
                stamp(connection, BEFORE_ALEMBIC)
            migrate(connection, transmissions)


def migrate(connection: Connection, transmissions: Path) -> None:
    """Run the migrations that are missing."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes |= {"connection": connection, "transmissions": transmissions}
    try:
        command.upgrade(config, "head")
    except CommandError:
        revision = _revision(connection)
        raise ParameterError(
            f"the database has schema {revision}, newer than this program's {HEAD}"
        ) from None


def stamp(connection: Connection, revision: str) -> None:
    """Note the revision where Alembic looks for it."""
    connection.execute(
        text(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
            "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text("INSERT INTO alembic_version VALUES (:it)"), {"it": revision})


def _revision(connection: Connection) -> str | None:
    """Return the revision of the schema, None if there is none yet."""
    names = inspect(connection).get_table_names()
    if "alembic_version" in names:
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found
    return BEFORE_ALEMBIC if Row.__tablename__ in names else None


def _lock(connection: Connection) -> None:
    """Keep other receivers out until the end of the transaction, which may then take its time."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {limit} = 0"))
