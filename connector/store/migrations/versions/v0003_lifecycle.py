"""The order lifecycle: quantities per line, money, history, holds, stock and what is reserved of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Exact, Instant, Key

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MONEY = ("invoiced", "authorised", "captured", "refunded")
QUANTITIES = ("allocated", "picked", "shipped", "delivered", "returned", "cancelled")
LIMITS = (
    ("allocated", "quantity"),
    ("picked", "allocated"),
    ("shipped", "picked"),
    ("delivered", "shipped"),
    ("returned", "delivered"),
    ("cancelled", "quantity"),
)
ACTIONS = (
    "'begin', 'verify', 'confirm', 'allocate', 'deallocate', 'pick', 'ship', 'deliver', 'return', 'cancel', 'invoice', "
    "'authorise', 'decline', 'capture', 'refund', 'hold', 'release', 'advance'"
)
WAYS = (
    "'placed>verified', 'verified>confirmed', 'confirmed>fulfilling', 'fulfilling>shipped', 'shipped>delivered', "
    "'delivered>completed', 'placed>cancelled', 'verified>cancelled', 'confirmed>cancelled', 'fulfilling>cancelled'"
)
HOLDS = "'payment', 'address', 'stock', 'fraud', 'credit', 'manual'"


def upgrade() -> None:
    op.add_column("orders", sa.Column("events", sa.Integer, nullable=False, server_default="0"))
    for name in MONEY:
        op.add_column("orders", sa.Column(name, Exact, nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("declined", sa.Boolean, nullable=False, server_default=sa.false()))
    with op.batch_alter_table("order_lines") as batch:
        for name in QUANTITIES:
            batch.add_column(sa.Column(name, Exact, nullable=False, server_default="0"))
        for lower, upper in LIMITS:
            batch.create_check_constraint(op.f(f"order_lines_{lower}_ck"), _at_most(lower, upper))
    op.create_table(
        "order_events",
        sa.Column("order_number", Key, sa.ForeignKey("orders.number", name="order_events_order_number_fk")),
        sa.Column("sequence", sa.Integer, autoincrement=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("stage_before", sa.Text),
        sa.Column("stage_after", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("order_number", "sequence", name="order_events_pk"),
        sa.CheckConstraint(f"action IN ({ACTIONS})", name=op.f("order_events_action_ck")),
        sa.CheckConstraint(
            f"stage_before IS NULL OR stage_before = stage_after OR stage_before || '>' || stage_after IN ({WAYS})",
            name=op.f("order_events_transition_ck"),
        ),
    )
    op.create_table(
        "holds",
        sa.Column("order_number", Key, sa.ForeignKey("orders.number", name="holds_order_number_fk")),
        sa.Column("reason", Key),
        sa.Column("since", Instant, nullable=False),
        sa.Column("placed_by", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.PrimaryKeyConstraint("order_number", "reason", name="holds_pk"),
        sa.CheckConstraint(f"reason IN ({HOLDS})", name=op.f("holds_reason_ck")),
    )
    op.create_table(
        "stock",
        sa.Column("sku", Key, sa.ForeignKey("products.sku", name="stock_sku_fk")),
        sa.Column("warehouse", Key),
        sa.Column("on_hand", Exact, nullable=False),
        sa.Column("reserved", Exact, nullable=False),
        sa.PrimaryKeyConstraint("sku", "warehouse", name="stock_pk"),
        sa.CheckConstraint(_at_most("reserved", "on_hand"), name=op.f("stock_reserved_ck")),
    )
    op.create_table(
        "reservations",
        sa.Column("order_number", Key),
        sa.Column("line", sa.Integer, autoincrement=False),
        sa.Column("warehouse", Key),
        sa.Column("quantity", Exact, nullable=False),
        sa.PrimaryKeyConstraint("order_number", "line", "warehouse", name="reservations_pk"),
    )


def _at_most(lower: str, upper: str) -> str:
    return f"CAST({lower} AS NUMERIC) <= CAST({upper} AS NUMERIC)"
