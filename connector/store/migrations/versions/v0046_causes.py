"""Causes of dead letters as people work on them: assignee, note, snooze, and how each was closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "causes",
        sa.Column("id", Serial, nullable=False),
        sa.Column("fingerprint", Key, nullable=False),
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("field", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("opened_at", Instant, nullable=False),
        sa.Column("most", sa.Integer, nullable=False),
        sa.Column("assignee", Key),
        sa.Column("note", sa.Text),
        sa.Column("snoozed_until", Instant),
        sa.Column("snoozed_at_count", sa.Integer),
        sa.Column("empty_since", Instant),
        sa.Column("last_action", sa.Text),
        sa.Column("last_actor", sa.Text),
        sa.Column("closed_at", Instant),
        sa.Column("closed_how", sa.Text),
        sa.Column("closed_by", sa.Text),
        sa.PrimaryKeyConstraint("id", name="causes_pk"),
        sa.CheckConstraint("closed_how IN ('replayed', 'discarded', 'corrected', 'by_itself')", name="closed_how"),
    )
    is_open = sa.text("closed_at IS NULL")
    op.create_index(
        "causes_open", "causes", ["fingerprint"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("causes_closed", "causes", ["closed_at"])
