"""Shadows: versions of the mappings that are computed beside the active one, and how they differed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mapping_shadows",
        sa.Column("id", Serial),
        sa.Column("digest", Key, nullable=False),
        sa.Column("base", sa.Integer, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("started_by", Key, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("computed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("differing", sa.Integer, nullable=False, server_default="0"),
        sa.Column("ended_at", Instant),
        sa.Column("ended_by", Key),
        sa.Column("outcome", Key),
        sa.PrimaryKeyConstraint("id", name="mapping_shadows_pk"),
    )
    op.create_table(
        "mapping_shadow_fields",
        sa.Column("shadow", sa.Integer, nullable=False),
        sa.Column("sobject", Key, nullable=False),
        sa.Column("field", Key, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("samples", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("shadow", "sobject", "field", name="mapping_shadow_fields_pk"),
        sa.ForeignKeyConstraint(
            ["shadow"], ["mapping_shadows.id"], name="mapping_shadow_fields_shadow_fk", ondelete="CASCADE"
        ),
    )
