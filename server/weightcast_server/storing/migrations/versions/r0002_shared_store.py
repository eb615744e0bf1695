"""Parts in the database, leases, progress and expiry."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns and the table of parts, and note what the folders hold."""
    for column in (
        sa.Column("touched", sa.Double(), nullable=False, server_default="0"),
        sa.Column("claimed_by", sa.String(32)),
        sa.Column("claimed_until", sa.Double()),
        sa.Column("progress", sa.Text()),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("purged", sa.Double()),
        sa.Column("reserved", sa.BigInteger(), nullable=False, server_default="0"),
    ):
        op.add_column("transmissions", column)
    parts = op.create_table(
        "parts",
        sa.Column(
            "transmission",
            sa.String(32),
            sa.ForeignKey("transmissions.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("n", sa.Integer(), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    table = sa.table(
        "transmissions", sa.column("id"), sa.column("side_digest"), sa.column("touched")
    )
    # What is there is kept for as long as if it had come today.
    op.execute(table.update().values(touched=time.time()))
    for id_, side_digest in op.get_bind().execute(sa.select(table.c.id, table.c.side_digest)).all():
        folder = context.config.attributes["transmissions"] / id_
        if found := list(_parts(id_, folder)):
            op.bulk_insert(parts, found)
        side = folder / "side.safetensors"
        if side_digest is not None and side.exists():
            side.rename(folder / f"side.{side_digest}.safetensors")


def _parts(id_: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of the parts in a folder, as their names tell."""
    for path in folder.glob("parts/*"):
        if name := re.fullmatch("([0-9]+)[.]([0-9a-f]{64})", path.name):
            yield {"transmission": id_, "n": int(name[1]), "sha256": name[2]}
