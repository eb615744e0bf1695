"""Transmissions in a database: everything but the bytes of parts and models."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, String, Text, create_engine, event, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from weightcast.errors import ParameterError
from weightcast_web.refusal import Refusal

UNFINISHED = ("queued", "decoding", "evaluating")
FINISHED = ("done", "failed", "expired")


class Base(DeclarativeBase):
    """Base of the tables."""


class Row(Base):
    """One transmission.

    States: created, receiving, queued, decoding, evaluating, done, failed, expired.
    """

    __tablename__ = "transmissions"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    created: Mapped[float] = mapped_column(index=True)
    queued: Mapped[float | None]
    header: Mapped[str] = mapped_column(Text)
    side_digest: Mapped[str | None] = mapped_column(String(64))
    report: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)

    def summary(self) -> dict[str, Any]:
        """Return what a list shows."""
        return {
            "id": self.id,
            "state": self.state,
            "created": self.created,
            "report": json.loads(self.report) if self.report else None,
            "error": json.loads(self.error) if self.error else None,
        }


class Store:
    """The table of transmissions; every method is one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        Base.metadata.create_all(engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except OperationalError as error:
            if "full" in str(error.orig):
                raise Refusal(507, "disk-full", "the receiver's disk is full") from error
            raise Refusal(503, "store-busy", "the database does not answer") from error

    def create(self, id_: str, header: str, key: str | None) -> Row:
        """Add a transmission; with a known key return the one that is there."""
        row = Row(id=id_, idempotency_key=key, state="created", created=time.time(), header=header)
        try:
            with self._session() as session:
                session.add(row)
            return row
        except IntegrityError:
            with self._session() as session:
                found = session.scalar(select(Row).where(Row.idempotency_key == key))
            if found is None:
                raise
            if found.header != header:
                raise Refusal(
                    409, "idempotency-key", "this Idempotency-Key came with another header before"
                ) from None
            return found

    def get(self, id_: str) -> Row:
        """Return a transmission or refuse with 404."""
        with self._session() as session:
            row = session.get(Row, id_)
        if row is None:
            raise Refusal(404, "no-transmission", "no such transmission")
        return row

    def ids(self) -> set[str]:
        """Return the ids of all transmissions."""
        with self._session() as session:
            return set(session.scalars(select(Row.id)))

    def newest(self, n: int) -> Sequence[Row]:
        """Return the ``n`` newest transmissions."""
        with self._session() as session:
            return session.scalars(select(Row).order_by(Row.created.desc()).limit(n)).all()

    def next_unfinished(self) -> Row | None:
        """Return the transmission that has waited longest for decoding and evaluation."""
        with self._session() as session:
            return session.scalar(
                select(Row).where(Row.state.in_(UNFINISHED)).order_by(Row.queued, Row.id).limit(1)
            )

    def change(self, id_: str, allowed: Sequence[str], **fields: Any) -> bool:
        """Set fields if the state is one of ``allowed``; return whether it was."""
        with self._session() as session:
            chosen = update(Row).where(Row.id == id_, Row.state.in_(allowed))
            found = session.execute(chosen.values(**fields).returning(Row.id))
            return found.first() is not None

    def delete(self, id_: str) -> None:
        """Forget a transmission."""
        with self._session() as session:
            row = session.get(Row, id_)
            if row is not None:
                session.delete(row)


def open_store(folder: Path) -> Store:
    """Open or create the SQLite database in a folder, in write-ahead mode."""
    engine = create_engine(f"sqlite:///{folder / 'receiver.db'}")

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
            connection.execute(f"PRAGMA {pragma}").close()

    try:
        return Store(engine)
    except DatabaseError as error:
        raise ParameterError(f"cannot open the database in '{folder}': {error.orig}") from None
