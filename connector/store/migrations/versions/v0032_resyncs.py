"""Resyncs that a service works off in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "resyncs",
        sa.Column("id", Serial, primary_key=True),
        sa.Column("entity", Key, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("filter", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("started_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("position", Key),
        sa.Column("reached", Key),
        sa.Column("reached_at", Instant),
        sa.Column("error", sa.Text),
        sa.Column("counts", sa.Text, nullable=False),
        sa.CheckConstraint("mode IN ('push', 'pull', 'compare')", name="mode"),
        sa.CheckConstraint("priority IN ('low', 'high')", name="priority"),
        sa.CheckConstraint("state IN ('waiting', 'running', 'paused', 'done', 'canceled', 'failed')", name="state"),
    )
    op.create_index("resyncs_state", "resyncs", ["state", "id"])
