"""Platform events to publish to the org, and the actions that were received from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outgoing_events",
        sa.Column("id", Serial, nullable=False),
        sa.Column("org_id", Key),
        sa.Column("name", Key, nullable=False),
        sa.Column("order_number", Key, nullable=False),
        sa.Column("event_id", Key, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("captured_at", Instant, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="outgoing_events_pk"),
        sa.CheckConstraint("state IN ('due', 'refused')", name="state"),
    )
    op.create_table(
        "order_actions",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("event_id", Key, nullable=False),
        sa.Column("received_at", Instant, nullable=False),
        sa.Column("published_at", Instant),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("order_number", Key, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("requested_by", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "event_id", name="order_actions_pk"),
        sa.CheckConstraint("state IN ('accepted', 'refused', 'parked')", name="state"),
    )
    op.create_index("order_actions_received_at", "order_actions", ["received_at"])
