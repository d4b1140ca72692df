"""Plans of mapping versions: what each would change, and what became of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mapping_plans",
        sa.Column("id", Key, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("actor", Key, nullable=False),
        sa.Column("base", sa.Integer),
        sa.Column("digest", Key, nullable=False),
        sa.Column("rollback_to", sa.Integer),
        sa.Column("applied_as", sa.Integer),
        sa.Column("numbers", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="mapping_plans_pk"),
    )
    op.create_index("mapping_plans_created", "mapping_plans", ["created_at"])
