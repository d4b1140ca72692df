"""Calls of the org's API by lane, result and hour, and which lanes may call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_calls",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("hour", Instant, nullable=False),
        sa.Column("lane", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "hour", "lane", "result", name="api_calls_pk"),
        sa.CheckConstraint("result IN ('answered', 'refused', 'limit', 'failed', 'unanswered')", name="result"),
    )
    op.create_table(
        "api_budgets",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("lowest_lane", sa.Integer),
        sa.Column("since", Instant),
        sa.Column("used", sa.BigInteger),
        sa.Column("allowed", sa.BigInteger),
        sa.Column("observed_at", Instant),
        sa.Column("looked_at", Instant),
        sa.PrimaryKeyConstraint("org_id", name="api_budgets_pk"),
    )
