"""Order totals: the sum of the lines, updated once for all lines that a call touched."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from connector.localorg.field_values import to_decimal

if TYPE_CHECKING:
    from connector.localorg.record_store import RecordStore


def update_totals(store: RecordStore) -> None:
    """Update `TotalAmount` of every touched order. The roll-up changes SystemModstamp only."""
    while store.orders_to_total:
        order_id = store.orders_to_total.pop()
        before = store.scalar('SELECT "TotalAmount" FROM "Order" WHERE "Id" = ?', order_id)
        if before is None:
            continue
        lines = store.storage.connection.execute(
            'SELECT "TotalPrice" FROM "OrderItem" WHERE "OrderId" = ?', (order_id,)
        )
        total = float(sum((to_decimal(price) for (price,) in lines), Decimal(0)))
        if total != before:
            store.platform_update("Order", order_id, {"TotalAmount": total})
            store.rows_written -= 1
