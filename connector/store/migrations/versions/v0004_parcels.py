"""Shipments and returns; priority, service level, tracking key; persons, tiers and credit limits of customers."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from connector.store.types import Exact, Instant, Key

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ACTIONS = (
    "'begin', 'change', 'split', 'verify', 'confirm', 'allocate', 'deallocate', 'pick', 'pack', 'unpack', 'label', "
    "'ship', 'track', 'deliver', 'cancel', 'invoice', 'authorise', 'decline', 'capture', 'refund', 'hold', 'escalate', "
    "'release', 'request_return', 'approve_return', 'reject_return', 'label_return', 'receive_return', "
    "'inspect_return', 'close_return', 'advance'"
)
WAYS = (
    "'placed>verified', 'verified>placed', 'verified>confirmed', 'confirmed>fulfilling', 'fulfilling>shipped', "
    "'shipped>delivered', 'delivered>completed', 'placed>cancelled', 'verified>cancelled', 'confirmed>cancelled', "
    "'fulfilling>cancelled'"
)
SHIPMENTS = "'packed', 'labelled', 'in_transit', 'out_for_delivery', 'exception', 'delivered', 'void'"
RETURNS = "'requested', 'approved', 'rejected', 'received', 'closed'"


def upgrade() -> None:
    for name in ("first_name", "last_name", "tier"):
        op.add_column("customers", sa.Column(name, sa.Text))
    op.add_column("customers", sa.Column("credit_limit", Exact))
    op.add_column("orders", sa.Column("service_level", sa.Text))
    op.add_column("orders", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("tracking_key", Key))
    op.add_column("orders", sa.Column("invoice_number", sa.Text))
    op.create_index("orders_stage", "orders", ["stage", "number"])
    op.create_index("orders_tracking_key", "orders", ["tracking_key"], unique=True)
    op.add_column("holds", sa.Column("escalated_at", Instant))
    op.add_column("stock", sa.Column("since", sa.Date))
    with op.batch_alter_table("order_lines") as batch:
        batch.add_column(sa.Column("credited", Exact, nullable=False, server_default="0"))
        batch.create_check_constraint(
            op.f("order_lines_credited_ck"), "CAST(credited AS NUMERIC) <= CAST(returned AS NUMERIC)"
        )
    events = sa.table("order_events", sa.column("action"))
    with op.batch_alter_table("order_events") as batch:
        for name in ("action", "transition"):
            batch.drop_constraint(op.f(f"order_events_{name}_ck"), type_="check")
        batch.create_check_constraint(
            op.f("order_events_transition_ck"),
            f"stage_before IS NULL OR stage_before = stage_after OR stage_before || '>' || stage_after IN ({WAYS})",
        )
    op.get_bind().execute(events.update().where(events.c.action == "return").values(action="receive_return"))
    with op.batch_alter_table("order_events") as batch:
        batch.create_check_constraint(op.f("order_events_action_ck"), f"action IN ({ACTIONS})")
    op.create_table(
        "shipments",
        sa.Column("order_number", Key, sa.ForeignKey("orders.number", name="shipments_order_number_fk")),
        sa.Column("number", sa.Integer, autoincrement=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("carrier", sa.Text),
        sa.Column("tracking_number", Key),
        sa.Column("shipped_on", sa.Date),
        sa.Column("delivered_on", sa.Date),
        sa.Column("lines", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("order_number", "number", name="shipments_pk"),
        sa.CheckConstraint(f"status IN ({SHIPMENTS})", name=op.f("shipments_status_ck")),
    )
    op.create_index("shipments_tracking_number", "shipments", ["tracking_number"])
    op.create_table(
        "returns",
        sa.Column("order_number", Key, sa.ForeignKey("orders.number", name="returns_order_number_fk")),
        sa.Column("number", sa.Integer, autoincrement=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("resolution", sa.Text, nullable=False),
        sa.Column("carrier", sa.Text),
        sa.Column("tracking_number", Key),
        sa.Column("requested_on", sa.Date),
        sa.Column("lines", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("order_number", "number", name="returns_pk"),
        sa.CheckConstraint(f"status IN ({RETURNS})", name=op.f("returns_status_ck")),
    )
    _ship_what_has_shipped()


def _ship_what_has_shipped() -> None:
    """Until now an order knew quantities only: what was shipped of it becomes one shipment."""
    bind = op.get_bind()
    orders = sa.table("orders", *(sa.column(name) for name in ("number", "events", "carrier", "tracking_number")),
                      sa.column("shipped_on", sa.Date))  # fmt: skip
    lines = sa.table("order_lines", *(sa.column(name) for name in ("order_number", "number")),
                     sa.column("shipped", Exact), sa.column("delivered", Exact))  # fmt: skip
    shipments = sa.table(
        "shipments",
        *(sa.column(name) for name in ("order_number", "number", "status", "carrier", "tracking_number", "lines")),
        sa.column("shipped_on", sa.Date),
    )
    found: dict[str, dict[str, str]] = {}
    under_way = set()
    shipped = (
        sa.select(lines.c.order_number, lines.c.number, lines.c.shipped, lines.c.delivered)
        .join(orders, orders.c.number == lines.c.order_number)
        .where(orders.c.events > 0)
    )
    for row in bind.execute(shipped):
        if row.shipped > 0:
            found.setdefault(row.order_number, {})[str(row.number)] = f"{row.shipped:f}"
            under_way |= {row.order_number} if row.delivered < row.shipped else set()
    for number, quantities in found.items():
        order = bind.execute(sa.select(orders).where(orders.c.number == number)).one()
        bind.execute(
            shipments.insert(),
            {
                "order_number": number,
                "number": 1,
                "status": "in_transit" if number in under_way else "delivered",
                "carrier": order.carrier,
                "tracking_number": order.tracking_number,
                "shipped_on": order.shipped_on,
                "lines": json.dumps(quantities),
            },
        )
