"""Answers to conflicts that are kept as rules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conflict_rules",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("sobject", Key, nullable=False),
        sa.Column("field", Key, nullable=False),
        sa.Column("choice", sa.Text, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "sobject", "field", name="conflict_rules_pk"),
        sa.CheckConstraint("choice IN ('local', 'salesforce')", name="choice"),
    )
