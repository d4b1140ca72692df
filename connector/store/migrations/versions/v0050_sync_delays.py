"""Delays: how long changes took to reach the other side, counted by ten minutes, kind and bucket."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sync_delays",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("slot", Instant, nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "slot", "direction", "kind", "bucket", name="sync_delays_pk"),
        sa.CheckConstraint("direction IN ('to_org', 'from_org')", name="direction"),
    )
