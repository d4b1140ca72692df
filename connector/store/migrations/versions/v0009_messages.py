"""What customers are sent: an outbox of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KINDS = "'confirmation', 'shipment', 'invoice', 'cancellation', 'return_label', 'refund', 'escalation'"
STATES = "'due', 'sent', 'failed', 'expired', 'skipped', 'discarded'"


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("id", Serial),
        sa.Column("key", Key, nullable=False),
        sa.Column("order_number", Key, sa.ForeignKey("orders.number", name="messages_order_number_fk"), nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("reference", Key, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("captured_at", Instant, nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("claim", sa.BigInteger),
        sa.Column("claimed_until", Instant),
        sa.Column("sent_at", Instant),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="messages_pk"),
        sa.UniqueConstraint("key", name="messages_key_uq"),
        sa.CheckConstraint(f"kind IN ({KINDS})", name=op.f("messages_kind_ck")),
        sa.CheckConstraint(f"state IN ({STATES})", name=op.f("messages_state_ck")),
    )
    op.create_index("messages_subject", "messages", ["order_number", "kind", "reference"], unique=True)
    op.create_index("messages_due", "messages", ["state", "due_at", "id"])
