"""The pick list: what is allocated and not picked yet, the most urgent order first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.parcels import ZERO
from connector.model.stage import Stage
from connector.orders.allocation import by_priority
from connector.store import orders, stock
from connector.store.tables import holds, reservations
from connector.store.tables import orders as table

MOST = 500
"""Orders on one list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """So many of a line's units are to be taken from the shelf of a warehouse."""

    order: str
    priority: int
    line: int
    sku: str
    name: str
    warehouse: str
    quantity: Decimal

    @property
    def said(self) -> dict[str, Any]:
        return asdict(self)


async def pick_list(connection: AsyncConnection, warehouse: str | None = None) -> list[Pick]:
    """What waits to be picked, in `warehouse` or in all; orders on hold are not on it."""
    statement = (
        select(table.c.number)
        .distinct()
        .add_columns(table.c.priority, table.c.placed_at)
        .join(reservations, reservations.c.order_number == table.c.number)
        .where(table.c.stage.in_([Stage.CONFIRMED.value, Stage.FULFILLING.value]))
        .where(table.c.number.not_in(select(holds.c.order_number)))
        .order_by(table.c.priority.desc(), table.c.placed_at, table.c.number)
        .limit(MOST)
    )
    numbers = [row.number for row in await connection.execute(statement)]
    held = await stock.reserved_for(connection, numbers)
    picks: list[Pick] = []
    for order in sorted(await orders.load(connection, numbers), key=by_priority):
        for line in order.lines:
            left = line.allocated - line.picked
            for (number, index, place), reserved in sorted(held.items()):
                if (number, index) != (order.number, line.number) or left <= ZERO:
                    continue
                quantity = min(left, reserved)
                left -= quantity
                picks.append(
                    Pick(
                        order=number,
                        priority=order.priority,
                        line=index,
                        sku=line.product.sku,
                        name=line.product.name,
                        warehouse=place,
                        quantity=quantity,
                    )
                )
    return [pick for pick in picks if warehouse in {None, pick.warehouse}]
