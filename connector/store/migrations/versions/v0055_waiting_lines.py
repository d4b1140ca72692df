"""Order lines that wait for stock have a table, sorted by product and urgency."""

from __future__ import annotations

from datetime import date
from typing import Any

import sqlalchemy as sa
from alembic import op

from connector.store.types import Exact, Instant, Key

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None

_BATCH = 1000
_INDEXED = ["sku", "rank", "promised_by", "placed_at", "order_number", "line", "quantity"]
_WAITING = (
    "SELECT l.order_number, l.number, l.sku, l.quantity, l.canceled, l.allocated,"
    " o.priority, o.promised_on, o.placed_at FROM orders o JOIN order_lines l ON l.order_number = o.number"
    " WHERE o.stage IN ('verified', 'confirmed', 'fulfilling') AND o.events > 0 AND (o.tracking_key IS NOT NULL"
    " OR EXISTS (SELECT 1 FROM order_events e WHERE e.order_number = o.number AND"
    " ((e.sequence = 1 AND e.stage_after = 'placed') OR e.event IN"
    " ('verified', 'confirmed', 'allocated', 'deallocated', 'picked', 'packed', 'shipped'))))"
    " AND CAST(l.allocated AS NUMERIC) + CAST(l.canceled AS NUMERIC) < CAST(l.quantity AS NUMERIC) * 0.99999999999999"
)


def upgrade() -> None:
    op.create_table(
        "waiting_lines",
        sa.Column("order_number", Key, nullable=False),
        sa.Column("line", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("sku", Key, nullable=False),
        sa.Column("quantity", Exact, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("promised_by", sa.Date, nullable=False),
        sa.Column("placed_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("order_number", "line", name="waiting_lines_pk"),
    )
    op.create_index("waiting_lines_urgency", "waiting_lines", _INDEXED)
    _fill()


def _fill() -> None:
    """As `connector.store.waiting_lines` at the time of this revision. A database that has no exact numbers would write
    the error of its floats, so they are subtracted here."""
    connection = op.get_bind()
    plain: list[sa.ColumnClause[Any]] = [sa.column(name) for name in ("order_number", "line", "sku", "rank")]
    moment = sa.column("placed_at", Instant())
    table = sa.table(
        "waiting_lines", *plain, sa.column("quantity", Exact()), sa.column("promised_by", sa.Date()), moment
    )
    typed: list[sa.ColumnClause[Any]] = [  # in the sequence in which they are selected
        *(sa.column(name) for name in ("order_number", "number", "sku")),
        *(sa.column(name, Exact()) for name in ("quantity", "canceled", "allocated")),
        sa.column("priority"),
        sa.column("promised_on", sa.Date()),
        moment,
    ]
    found = connection.execute(sa.text(_WAITING).columns(*typed))
    while rows := found.fetchmany(_BATCH):
        values = [
            {
                "order_number": row.order_number,
                "line": row.number,
                "sku": row.sku,
                "quantity": row.quantity - row.canceled - row.allocated,
                "rank": -row.priority,
                "promised_by": row.promised_on or date(9999, 12, 31),
                "placed_at": row.placed_at,
            }
            for row in rows
        ]
        connection.execute(sa.insert(table), values)
