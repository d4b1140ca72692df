"""What comes back from the org: the inbox, cursors, conflicts, and what was restored there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("sobject", Key, nullable=False),
        sa.Column("record_id", Key, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("fix", sa.Text),
        sa.PrimaryKeyConstraint("org_id", "sobject", "record_id", name="inbox_pk"),
        sa.CheckConstraint("state IN ('due', 'parked')", name="state"),
    )
    op.create_index("inbox_due", "inbox", ["state", "due_at"])
    op.create_table(
        "cursors",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("name", Key, nullable=False),
        sa.Column("position", sa.Text, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "name", name="cursors_pk"),
    )
    op.create_table(
        "conflicts",
        sa.Column("id", Serial, nullable=False),
        sa.Column("org_id", Key, nullable=False),
        sa.Column("entity", Key, nullable=False),
        sa.Column("key", Key, nullable=False),
        sa.Column("field", Key, nullable=False),
        sa.Column("sobject", sa.Text, nullable=False),
        sa.Column("record_id", Key, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("local", sa.Text, nullable=False),
        sa.Column("remote", sa.Text, nullable=False),
        sa.Column("local_changed_at", Instant),
        sa.Column("remote_changed_at", Instant),
        sa.Column("remote_changed_by", sa.Text),
        sa.Column("opened_at", Instant, nullable=False),
        sa.Column("resolved_at", Instant),
        sa.Column("resolved_by", sa.Text),
        sa.PrimaryKeyConstraint("id", name="conflicts_pk"),
        sa.CheckConstraint("state IN ('open', 'local', 'salesforce', 'closed')", name="state"),
    )
    op.create_index("conflicts_entity", "conflicts", ["org_id", "entity", "key"])
    op.create_index("conflicts_state", "conflicts", ["state", "id"])
    op.create_table(
        "restored_fields",
        sa.Column("org_id", Key, nullable=False),
        sa.Column("entity", Key, nullable=False),
        sa.Column("key", Key, nullable=False),
        sa.Column("field", Key, nullable=False),
        sa.Column("local", sa.Text, nullable=False),
        sa.Column("remote", sa.Text, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("restored_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "entity", "key", "field", name="restored_fields_pk"),
    )
