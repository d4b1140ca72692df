"""Invoices, numbered without a gap."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Exact, Instant, Key

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", Key),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="counters_pk"),
    )
    op.create_table(
        "invoices",
        sa.Column("number", Key),
        sa.Column("order_number", Key, sa.ForeignKey("orders.number", name="invoices_order_number_fk"), nullable=False),
        sa.Column("issued_at", Instant, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount", Exact, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="invoices_pk"),
    )
    op.create_index("invoices_order_number", "invoices", ["order_number"])
