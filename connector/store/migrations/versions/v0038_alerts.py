"""Alerts, and the messages that tell of them; the roles of a process that failed lately."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("troubles", sa.Text))
    op.create_table(
        "alerts",
        sa.Column("id", Serial, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("subject", Key, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("fix", sa.Text, nullable=False),
        sa.Column("noticed_at", Instant, nullable=False),
        sa.Column("began_at", Instant),
        sa.Column("clear_since", Instant),
        sa.Column("ended_at", Instant),
        sa.PrimaryKeyConstraint("id", name="alerts_pk"),
    )
    is_open = sa.text("ended_at IS NULL")
    op.create_index(
        "alerts_open", "alerts", ["rule", "subject"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("alerts_ended", "alerts", ["ended_at"])
    op.create_table(
        "alert_messages",
        sa.Column("alert", Serial, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("sent_at", Instant),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("alert", "event", "channel", name="alert_messages_pk"),
        sa.ForeignKeyConstraint(["alert"], ["alerts.id"], name="alert_messages_alert_fk", ondelete="CASCADE"),
        sa.CheckConstraint("event IN ('began', 'ended')", name="event"),
        sa.CheckConstraint("state IN ('due', 'sent', 'failed')", name="state"),
    )
    is_due = sa.text("state = 'due'")
    op.create_index("alert_messages_due", "alert_messages", ["due_at"], sqlite_where=is_due, postgresql_where=is_due)
