"""Several orgs: the name of the org that has the account of a customer, that a change is for, and of each org.

What is there belongs to the default org, whose name is empty."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Key

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customer_orgs",
        sa.Column("customer", Key, nullable=False),
        sa.Column("org", Key, nullable=False),
        sa.PrimaryKeyConstraint("customer", name="customer_orgs_pk"),
    )
    op.add_column("orgs", sa.Column("name", Key, nullable=False, server_default=""))
    op.drop_index("outbox_due", "outbox")
    op.drop_index("outbox_claim", "outbox")
    with op.batch_alter_table("outbox") as batch:  # SQLite copies the table to change its key
        batch.add_column(sa.Column("org", Key, nullable=False, server_default=""))
        batch.drop_constraint("outbox_pk", type_="primary")
        batch.create_primary_key("outbox_pk", ["entity", "key", "org"])
    op.create_index("outbox_due", "outbox", ["state", "org", "due_at"])
    op.create_index("outbox_claim", "outbox", ["state", "org", "entity", "lane", "captured_at", "key"])
