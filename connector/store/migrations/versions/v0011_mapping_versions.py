"""Mapping versions: which one is active, and what those who have mapping files think of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mapping_versions",
        sa.Column("number", Serial),
        sa.Column("digest", Key, nullable=False),
        sa.Column("activated_at", Instant, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="mapping_versions_pk"),
    )
    op.create_index("mapping_versions_digest", "mapping_versions", ["digest"])
    op.create_table(
        "mapping_sources",
        sa.Column("source", Key),
        sa.Column("digest", Key, nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.Column("problem", sa.Text),
        sa.PrimaryKeyConstraint("source", name="mapping_sources_pk"),
    )
