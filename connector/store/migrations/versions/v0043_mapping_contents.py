"""The content of mapping versions, and who made each active, why, and in place of which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mapping_versions", sa.Column("origin", Key, nullable=False, server_default="files"))
    op.add_column("mapping_versions", sa.Column("author", Key))
    op.add_column("mapping_versions", sa.Column("note", sa.Text))
    op.add_column("mapping_versions", sa.Column("base", sa.Integer))
    op.create_table(
        "mapping_contents",
        sa.Column("digest", Key, nullable=False),
        sa.Column("stored_at", Instant, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="mapping_contents_pk"),
    )
