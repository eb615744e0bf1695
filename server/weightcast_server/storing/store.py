"""Transmissions in a database: everything but the bytes of parts and models.

The database decides what counts when several receivers share it: which bytes of a part are the
first, whose side information, who works on what, and whose result is kept.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Engine, Select, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from weightcast_server.storing.tables import FINISHED, OPEN, UNFINISHED, Part, Row
from weightcast_web.refusal import Refusal

CLOSE_S = 5.0
DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
STATES = (*OPEN, *UNFINISHED, *FINISHED)
Counts = dict[str, tuple[int, float | None]]
"""How many transmissions are in a state, and when the first of them was queued."""


class Quota(Protocol):
    """Caps on the transmissions that are unfinished and on the bytes of all files."""

    max_open: int
    max_stored_bytes: int


class Store:
    """The transmissions and their parts; every method is one short transaction.

    Args:
        engine: of a database whose schema is up to date.
        clock: seconds since 1970; receivers that share a database should agree within a second or
            two. Where they do not, work may be done twice, but its result is still written once.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._clock = engine, clock
        self.is_shared = engine.dialect.name != "sqlite"
        self._calls = threading.Condition()
        self._n_calls, self._is_closed = 0, False

    def close(self) -> None:
        """Take no more calls, give those under way some time, and close all connections."""
        with self._calls:
            self._is_closed = True
            self._calls.wait_for(lambda: self._n_calls == 0, CLOSE_S)
        self._engine.dispose()

    @contextmanager
    def _called(self) -> Iterator[None]:
        with self._calls:
            if self._is_closed:
                raise Refusal(503, "store-busy", "the receiver is stopping")
            self._n_calls += 1
        try:
            yield
        finally:
            with self._calls:
                self._n_calls -= 1
                self._calls.notify_all()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            with (
                self._called(),
                Session(self._engine, expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session
        except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
            cause = getattr(error, "orig", None)
            if getattr(cause, "sqlstate", None) == DISK_FULL or "disk is full" in str(cause):
                raise Refusal(507, "disk-full", "the receiver's disk is full") from error
            raise Refusal(503, "store-busy", "the database does not answer") from error

    def create(
        self,
        id_: str,
        header: str,
        key: str | None,
        quota: Quota | None = None,
        reserved: int = 0,
    ) -> Row:
        """Add a transmission; with a known key return the one that is there.

        Args:
            id_, header, key: of the transmission.
            quota: what there is room for; None: for anything.
            reserved: bytes that its files take at most.

        Raises:
            Refusal: 503 too many are unfinished, 507 its files would be too many bytes, 409 the key
                came with another header. Receivers that share a database may let a few more in.
        """
        now = self._clock()
        times = {"created": now, "touched": now}
        row = Row(
            id=id_, idempotency_key=key, state="created", header=header, reserved=reserved, **times
        )
        try:
            with self._session() as session:
                session.add(row)
                if quota is not None:
                    session.flush()  # From here on SQLite lets nobody else write.
                    _stay_within(quota, session)
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
            return _found(session, id_)

    def ids(self) -> set[str]:
        """Return the ids of all transmissions."""
        with self._session() as session:
            return set(session.scalars(select(Row.id)))

    def newest(self, n: int) -> Sequence[Row]:
        """Return the ``n`` newest transmissions."""
        with self._session() as session:
            return session.scalars(select(Row).order_by(Row.created.desc()).limit(n)).all()

    def counts(self) -> Counts:
        """Return how many transmissions there are in each state that has any."""
        with self._session() as session:
            chosen = select(Row.state, func.count(), func.min(Row.queued)).group_by(Row.state)
            return {state: (count, first) for state, count, first in session.execute(chosen)}

    def parts(self, id_: str) -> dict[int, str]:
        """Return the SHA-256 of each part that has arrived, hexadecimal, by number."""
        with self._session() as session:
            found = session.scalars(select(Part).where(Part.transmission == id_))
            return {part.n: part.sha256 for part in found}

    def take_part(self, id_: str, n: int, sha256: str) -> None:
        """Note a part whose file is on disk, or find that it has been noted before.

        Raises:
            Refusal: 409 it came with other bytes before, or nothing new is taken any more; 410 the
                transmission has expired; 404 there is none.
        """
        with self._session() as session:
            # The update keeps the other receivers' parts of this transmission waiting.
            chosen = update(Row).where(Row.id == id_, Row.state.in_(OPEN)).returning(Row.id)
            changed = chosen.values(state="receiving", touched=self._clock())
            is_open = session.scalar(changed) is not None
            there = session.get(Part, (id_, n))
            if not is_open:
                state = _left(session, id_).state
                if there is None or there.sha256 != sha256:
                    raise Refusal(409, "closed", f"the transmission is {state}")
            elif there is None:
                session.add(Part(transmission=id_, n=n, sha256=sha256))
            elif there.sha256 != sha256:
                raise Refusal(409, "part-differs", f"part {n} has arrived before with other bytes")

    def take_side(self, id_: str, sha256: str) -> None:
        """Note side information whose file is on disk; errors as for `take_part`."""
        with self._session() as session:
            free = or_(Row.side_digest.is_(None), Row.side_digest == sha256)
            chosen = update(Row).where(Row.id == id_, Row.state.in_(OPEN), free).returning(Row.id)
            now = self._clock()
            changed = chosen.values(side_digest=sha256, state="receiving", touched=now)
            if session.scalar(changed) is None and _left(session, id_).side_digest != sha256:
                raise Refusal(409, "side-differs", "other side information has arrived before")

    def queue(self, id_: str) -> None:
        """Queue a transmission unless it has been."""
        now = self._clock()
        with self._session() as session:
            chosen = update(Row).where(Row.id == id_, Row.state.in_(OPEN)).returning(Row.id)
            if session.scalar(chosen.values(state="queued", queued=now, touched=now)) is None:
                _left(session, id_)

    def claim(self, who: str, lease_s: float) -> tuple[Row, list[str]] | None:
        """Return what has waited longest, to work on it for ``lease_s`` seconds, and its parts.

        One that another receiver has claimed is left to it until its lease runs out. The parts are
        given by their digests, in order.
        """
        now = self._clock()
        unfinished = select(Row.id).where(Row.state.in_(UNFINISHED)).order_by(Row.queued, Row.id)
        free = or_(Row.claimed_until.is_(None), Row.claimed_until < now)
        # One's own is waited for: another receiver may hold its row for a moment while it looks.
        mine = unfinished.where(Row.claimed_by == who).limit(1).with_for_update()
        first = unfinished.where(free).limit(1).with_for_update(skip_locked=True)

        def take(session: Session, which: Select[str]) -> Row | None:
            chosen = update(Row).where(Row.id == which.scalar_subquery())
            claimed = chosen.values(claimed_by=who, claimed_until=now + lease_s).returning(Row)
            return session.scalar(claimed, execution_options={"synchronize_session": False})

        with self._session() as session:
            row = take(session, mine) or take(session, first)
            if row is None:
                return None
            parts = select(Part.sha256).where(Part.transmission == row.id).order_by(Part.n)
            return row, list(session.scalars(parts))

    def note(self, id_: str, who: str, lease_s: float, progress: dict[str, Any] | None) -> bool:
        """Renew a lease and note the progress; return whether the lease was still one's own."""
        fields: dict[str, Any] = {"claimed_until": self._clock() + lease_s}
        if progress is not None:
            fields |= {"state": progress["phase"], "progress": json.dumps(progress)}
        return self._change(id_, who, **fields) is not None

    def finish(self, id_: str, who: str, state: str, **fields: str) -> bool:
        """Write a result if the lease is still one's own; return whether it was."""
        free = {"claimed_by": None, "claimed_until": None, "progress": None}
        now = self._clock()
        return self._change(id_, who, state=state, touched=now, **free, **fields) is not None

    def count_death(self, id_: str, who: str) -> int:
        """Count a worker that died over a transmission; return how many have, 0 if it was lost."""
        row = self._change(id_, who, tries=Row.tries + 1)
        return row.tries if row is not None else 0

    def release(self, who: str) -> None:
        """Let others work on what one has claimed."""
        with self._session() as session:
            mine = update(Row).where(Row.claimed_by == who)
            session.execute(mine.values(claimed_by=None, claimed_until=None))

    def free(self) -> None:
        """End all leases: for a receiver that knows it is the only one."""
        with self._session() as session:
            claimed = update(Row).where(Row.claimed_by.is_not(None))
            session.execute(claimed.values(claimed_by=None, claimed_until=None))

    def expire(self, after_s: float) -> Sequence[str]:
        """Let what nothing has come to for ``after_s`` seconds expire, and return the ids."""
        error = {"kind": "Expired", "detail": f"nothing arrived for {after_s:g} s"}
        with self._session() as session:
            old = Row.touched < self._clock() - after_s
            chosen = update(Row).where(Row.state.in_(OPEN), old).returning(Row.id)
            changed = chosen.values(state="expired", error=json.dumps(error))
            return session.scalars(changed).all()

    def outdated(self, after_s: float) -> Sequence[str]:
        """Return the ids of what has expired, or finished ``after_s`` seconds ago, with files."""
        old = Row.touched < self._clock() - after_s
        with self._session() as session:
            chosen = select(Row.id).where(
                Row.state.in_(FINISHED), Row.purged.is_(None), or_(old, Row.state == "expired")
            )
            return session.scalars(chosen).all()

    def purge(self, id_: str) -> None:
        """Note that the files of a finished transmission are no more."""
        with self._session() as session:
            session.execute(update(Row).where(Row.id == id_).values(purged=self._clock()))

    def delete(self, id_: str) -> None:
        """Forget a transmission and its parts; who works on it loses its lease."""
        with self._session() as session:
            session.execute(delete(Row).where(Row.id == id_))

    def _change(self, id_: str, who: str, **fields: Any) -> Row | None:
        """Set fields of what one has claimed and not lost, and return it."""
        mine = update(Row).where(Row.id == id_, Row.claimed_by == who, Row.state.in_(UNFINISHED))
        with self._session() as session:
            return session.scalar(mine.values(**fields).returning(Row))


def _stay_within(quota: Quota, session: Session) -> None:
    """Refuse the transmission that was added last if there is no room for it."""
    unfinished = Row.state.in_((*OPEN, *UNFINISHED))
    n = session.scalar(select(func.count()).where(unfinished)) or 0
    if n > quota.max_open:
        raise Refusal(503, "too-many", f"{quota.max_open} transmissions are unfinished already")
    n_bytes = session.scalar(select(func.sum(Row.reserved)).where(Row.purged.is_(None))) or 0
    if n_bytes > quota.max_stored_bytes:
        raise Refusal(507, "quota", f"files may take {quota.max_stored_bytes} bytes in all")


def _found(session: Session, id_: str) -> Row:
    row = session.get(Row, id_)
    if row is None:
        raise Refusal(404, "no-transmission", "no such transmission")
    return row


def _left(session: Session, id_: str) -> Row:
    """Return a transmission that takes nothing new; refuse with 410 if it has expired."""
    row = _found(session, id_)
    refuse_expired(row)
    return row


def refuse_expired(row: Row) -> None:
    """Refuse with 410 what needs the parts of a transmission that has expired."""
    if row.state == "expired":
        raise Refusal(410, "expired", "the transmission has expired and its parts are deleted")
