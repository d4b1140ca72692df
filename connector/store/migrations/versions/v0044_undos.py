"""Undos of runs: former values that the outbox is to put back, and values of ours that links hold since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("restores", sa.Text))
    where = sa.text("run IS NOT NULL")
    op.create_index("outbox_run", "outbox", ["run"], sqlite_where=where, postgresql_where=where)
    op.add_column("links", sa.Column("held", sa.Text))
    op.create_table(
        "undos",
        sa.Column("id", Serial, nullable=False),
        sa.Column("run", Key, nullable=False),
        sa.Column("org_id", Key, nullable=False),
        sa.Column("plan", Key, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("ended_at", Instant),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("left_alone", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="undos_pk"),
    )
    op.create_index("undos_run", "undos", ["run", "id"])
    op.create_index("undos_ended", "undos", ["ended_at"])
