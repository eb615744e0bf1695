"""The schema from before there were migrations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table of transmissions."""
    op.create_table(
        "transmissions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("idempotency_key", sa.String(255), unique=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("queued", sa.Double()),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("side_digest", sa.String(64)),
        sa.Column("report", sa.Text()),
        sa.Column("error", sa.Text()),
    )
    op.create_index("ix_transmissions_state", "transmissions", ["state"])
    op.create_index("ix_transmissions_created", "transmissions", ["created"])
