"""Sends in a database: what was asked for, how far it is, what came of it."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ForeignKey, String, Text, func, select, update
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from weightcast.errors import ParameterError
from weightcast_web.refusal import Refusal
from weightcast_web.sqlite import engine_of

UNFINISHED = ("queued", "sending")
FINISHED = ("done", "failed", "cancelled")


class Base(DeclarativeBase):
    """Base of the tables."""


class Row(Base):
    """One send.

    States: queued, sending, done, failed, cancelled. ``number`` counts in the order of arrival;
    ``transmission`` is the one that has begun and is not known to be done.
    """

    __tablename__ = "sends"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    created: Mapped[float]
    ended: Mapped[float | None]
    body: Mapped[str] = mapped_column(Text)
    transmission: Mapped[str | None] = mapped_column(String(32))
    result: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)

    def summary(self) -> dict[str, Any]:
        """Return what a list shows."""
        return {
            "id": self.id,
            "state": self.state,
            "created": self.created,
            "ended": self.ended,
            "send": json.loads(self.body),
            "result": json.loads(self.result) if self.result else None,
            "error": json.loads(self.error) if self.error else None,
        }


class Draw(Base):
    """The result of one draw of a send."""

    __tablename__ = "draws"

    send: Mapped[str] = mapped_column(ForeignKey(Row.id), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    result: Mapped[str] = mapped_column(Text)


class Store:
    """The tables; every method is one short transaction."""

    def __init__(self, folder: Path) -> None:
        self._engine = engine_of(folder / "sender.db")
        self._creating = threading.Lock()
        try:
            Base.metadata.create_all(self._engine)
        except DatabaseError as error:
            raise ParameterError(f"cannot open the database in '{folder}': {error.orig}") from None

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
                raise Refusal(507, "disk-full", "the sender's disk is full") from error
            raise Refusal(503, "store-busy", "the database does not answer") from error

    def create(self, id_: str, body: str, key: str | None, max_queued: int | None) -> Row:
        """Queue a send; with a known key return the one that is there.

        Raises:
            Refusal: 409 the key came with another body; 503 ``max_queued`` are waiting already.
        """
        with self._creating, self._session() as session:
            if key is not None:
                known = session.scalar(select(Row).where(Row.idempotency_key == key))
                if known is not None and known.body != body:
                    raise Refusal(
                        409, "idempotency-key", "this Idempotency-Key came with another send before"
                    )
                if known is not None:
                    return known
            if max_queued is not None and _count(session, "queued") >= max_queued:
                raise Refusal(503, "queue-full", f"{max_queued} sends are waiting, come back later")
            row = Row(id=id_, idempotency_key=key, state="queued", created=time.time(), body=body)
            session.add(row)
            return row

    def get(self, id_: str) -> Row:
        """Return a send or refuse with 404."""
        with self._session() as session:
            row = session.scalar(select(Row).where(Row.id == id_))
        if row is None:
            raise Refusal(404, "no-send", "no such send")
        return row

    def newest(self, n: int) -> Sequence[Row]:
        """Return the ``n`` newest sends."""
        with self._session() as session:
            return session.scalars(select(Row).order_by(Row.number.desc()).limit(n)).all()

    def next_unfinished(self) -> Row | None:
        """Return the oldest send that is not finished."""
        with self._session() as session:
            chosen = select(Row).where(Row.state.in_(UNFINISHED))
            return session.scalar(chosen.order_by(Row.number).limit(1))

    def leftovers(self) -> Sequence[Row]:
        """Return the cancelled sends whose transmission may still be at the receiver."""
        with self._session() as session:
            chosen = select(Row).where(Row.state == "cancelled", Row.transmission.is_not(None))
            return session.scalars(chosen).all()

    def change(self, id_: str, allowed: Sequence[str] = UNFINISHED, **fields: Any) -> bool:
        """Set fields if the state is one of ``allowed``; return whether it was."""
        with self._session() as session:
            chosen = update(Row).where(Row.id == id_, Row.state.in_(allowed))
            return session.scalar(chosen.values(**fields).returning(Row.id)) is not None

    def finish(self, id_: str, state: str, **fields: Any) -> bool:
        """End an unfinished send; return whether it was unfinished."""
        return self.change(id_, state=state, ended=time.time(), **fields)

    def add_draw(self, id_: str, result: dict[str, Any]) -> None:
        """Keep the result of a send's next draw."""
        with self._session() as session:
            count = select(func.count()).select_from(Draw).where(Draw.send == id_)
            number = session.scalars(count).one()
            session.add(Draw(send=id_, number=number, result=json.dumps(result)))
            session.execute(update(Row).where(Row.id == id_).values(transmission=None))

    def draws(self, id_: str) -> list[dict[str, Any]]:
        """Return the results of a send's draws so far."""
        with self._session() as session:
            chosen = select(Draw.result).where(Draw.send == id_).order_by(Draw.number)
            return [json.loads(text) for text in session.scalars(chosen)]

    def counts(self) -> dict[str, int]:
        """Return the number of sends in each state."""
        with self._session() as session:
            return {state: _count(session, state) for state in UNFINISHED + FINISHED}


def _count(session: Session, state: str) -> int:
    return session.scalars(select(func.count()).select_from(Row).where(Row.state == state)).one()
