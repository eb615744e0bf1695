"""The tables of the store."""

import json
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Double, ForeignKey, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

OPEN = ("created", "receiving")
UNFINISHED = ("queued", "decoding", "evaluating")
DECODED = ("evaluating", "done")
FINISHED = ("done", "failed", "expired")


class Base(DeclarativeBase):
    """Base of the tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Double}


class Row(Base):
    """One transmission.

    States: created, receiving, queued, decoding, evaluating, done, failed, expired. Times are in
    seconds since 1970: ``touched`` is the last change that counts against expiry, ``purged`` when
    the files of a finished transmission were deleted. ``claimed_by`` works on it, and no other may
    until ``claimed_until``; ``tries`` counts the workers that died over it. Its files take at most
    ``reserved`` bytes.
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
    touched: Mapped[float] = mapped_column(server_default="0")
    claimed_by: Mapped[str | None] = mapped_column(String(32))
    claimed_until: Mapped[float | None]
    progress: Mapped[str | None] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(server_default="0")
    purged: Mapped[float | None]
    reserved: Mapped[int] = mapped_column(BigInteger, server_default="0")

    def summary(self) -> dict[str, Any]:
        """Return what a list shows."""
        return {
            "id": self.id,
            "state": self.state,
            "created": self.created,
            "report": json.loads(self.report) if self.report else None,
            "error": json.loads(self.error) if self.error else None,
        }


class Part(Base):
    """A part that has arrived: which of all bytes ever sent under its number count."""

    __tablename__ = "parts"

    transmission: Mapped[str] = mapped_column(
        ForeignKey("transmissions.id", ondelete="CASCADE"), primary_key=True
    )
    n: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
