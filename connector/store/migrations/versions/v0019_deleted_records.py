"""Which linked records are deleted in the org."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deleted_records",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("entity", Key, nullable=False),
        sa.Column("key", Key, nullable=False),
        sa.Column("record_id", Key, nullable=False),
        sa.Column("deleted_at", Instant, nullable=False),
        sa.Column("deleted_by", sa.Text),
        sa.Column("merged_into", Key),
        sa.PrimaryKeyConstraint("org_id", "entity", "key", name="deleted_records_pk"),
    )
    op.create_index("deleted_records_merged_into", "deleted_records", ["org_id", "merged_into"])
