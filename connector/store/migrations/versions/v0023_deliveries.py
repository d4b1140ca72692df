"""Deliveries of events by topic and hour, and how each topic is received."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("topic", Key, nullable=False),
        sa.Column("hour", Instant, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "topic", "hour", name="deliveries_pk"),
    )
    op.create_table(
        "topic_states",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("topic", Key, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("since", Instant),
        sa.Column("resume_at", Instant),
        sa.Column("used", sa.BigInteger),
        sa.Column("allowed", sa.BigInteger),
        sa.Column("observed_at", Instant),
        sa.Column("counted_in_hour", sa.BigInteger),
        sa.PrimaryKeyConstraint("org_id", "topic", name="topic_states_pk"),
        sa.CheckConstraint("mode IN ('stream', 'poll')", name="mode"),
    )
