"""SQLite that keeps what it has committed through any crash."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event

PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON")


def engine_of(path: Path) -> Engine:
    """Return an engine for the database in a file, which is made if need be."""
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    return engine
