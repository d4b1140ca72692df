"""Tax on top, stated totals, wishes for the delivery; rules behind holds; unknown products; what is picked where."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from alembic import op

from connector.store.types import Exact, Key

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("tax_rate", Exact))
    op.add_column("orders", sa.Column("stated_total", Exact))
    op.add_column("orders", sa.Column("ship_complete", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("orders", sa.Column("delivery_note", sa.Text))
    op.add_column("orders", sa.Column("placed_digest", sa.Text))
    op.add_column("products", sa.Column("placeholder", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("shipments", sa.Column("warehouse", Key))
    with op.batch_alter_table("reservations") as batch:
        batch.add_column(sa.Column("picked", Exact, nullable=False, server_default="0"))
        batch.create_check_constraint(
            op.f("reservations_picked_ck"), "CAST(picked AS NUMERIC) <= CAST(quantity AS NUMERIC)"
        )
    _pick_what_is_picked()
    op.add_column("holds", sa.Column("rules", sa.Text))


def _pick_what_is_picked() -> None:
    """Until now a line knew how much of it is picked, not where: the first warehouses are taken for it."""
    bind = op.get_bind()
    lines = sa.table("order_lines", *(sa.column(name) for name in ("order_number", "number")),
                     sa.column("picked", Exact), sa.column("shipped", Exact))  # fmt: skip
    rows = sa.table("reservations", *(sa.column(name) for name in ("order_number", "line", "warehouse")),
                    sa.column("quantity", Exact), sa.column("picked", Exact))  # fmt: skip
    statement = (
        sa.select(rows, lines.c.picked.label("off_shelf"), lines.c.shipped)
        .join(lines, (lines.c.order_number == rows.c.order_number) & (lines.c.number == rows.c.line))
        .order_by(rows.c.order_number, rows.c.line, rows.c.warehouse)
    )
    left: dict[tuple[str, int], Decimal] = {}
    for row in bind.execute(statement).all():
        key = (row.order_number, row.line)
        part = min(left.setdefault(key, row.off_shelf - row.shipped), row.quantity)
        left[key] -= part
        if part > 0:
            here = (rows.c.order_number == key[0]) & (rows.c.line == key[1]) & (rows.c.warehouse == row.warehouse)
            bind.execute(rows.update().where(here).values(picked=part))
