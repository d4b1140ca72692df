"""When fields of entities were changed here last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "field_times",
        sa.Column("entity", Key, nullable=False),
        sa.Column("key", Key, nullable=False),
        sa.Column("attribute", Key, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("entity", "key", "attribute", name="field_times_pk"),
    )
