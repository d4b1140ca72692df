"""Notices of applied changes for the company's own systems."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "change_notices",
        sa.Column("id", Serial, primary_key=True),
        sa.Column("message_id", Key, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("entity", Key, nullable=False),
        sa.Column("key", Key, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("captured_at", Instant, nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("sent_at", Instant),
        sa.Column("error", sa.Text),
        sa.CheckConstraint("state IN ('due', 'sent', 'failed')", name="state"),
    )
    op.create_index("change_notices_state", "change_notices", ["state", "due_at"])
    op.create_index("change_notices_entity", "change_notices", ["entity", "key", "id"])
