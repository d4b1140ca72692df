"""What reps are to be told on records of the org."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sync_messages",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("record_id", Key, nullable=False),
        sa.Column("source_id", Key, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("told_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "record_id", "source_id", name="sync_messages_pk"),
        sa.CheckConstraint("cause IN ('refused', 'parked')", name="cause"),
    )
    op.create_index("sync_messages_source", "sync_messages", ["org_id", "source_id"])
