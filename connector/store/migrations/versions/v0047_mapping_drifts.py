"""What admins changed in an org that concerns the mappings, and the describe that it is compared with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "org_baselines",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("mapping_version", sa.Integer, nullable=False),
        sa.Column("stored_at", Instant, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("org_id", name="org_baselines_pk"),
    )
    op.create_table(
        "mapping_drifts",
        sa.Column("id", Serial),
        sa.Column("org_id", Key, nullable=False),
        sa.Column("fingerprint", Key, nullable=False),
        sa.Column("drift", sa.Text, nullable=False),
        sa.Column("first_seen", Instant, nullable=False),
        sa.Column("healed_at", Instant),
        sa.PrimaryKeyConstraint("id", name="mapping_drifts_pk"),
    )
    op.create_index("mapping_drifts_org", "mapping_drifts", ["org_id", "healed_at"])
