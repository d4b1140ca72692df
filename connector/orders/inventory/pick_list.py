"""The pick list: what is allocated and not picked yet, the most urgent order first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from connector.model.stock import Reservation
from connector.orders.inventory.allocation import by_priority
from connector.store import orders, stock
from connector.store.engine import Connection
from connector.store.queries.reservations import list_orders_to_pick

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


async def pick_list(connection: Connection, warehouse: str | None = None) -> list[Pick]:
    """What waits to be picked, in `warehouse` or in all; orders on hold are not on it."""
    numbers = await list_orders_to_pick(connection, warehouse, limit=MOST)
    waiting: dict[tuple[str, int], list[tuple[str, Reservation]]] = {}
    for (number, index, place), reserved in sorted((await stock.reserved_for(connection, numbers)).items()):
        if reserved.unpicked > 0 and warehouse in {None, place}:
            waiting.setdefault((number, index), []).append((place, reserved))
    picks: list[Pick] = []
    for order in sorted(await orders.load(connection, numbers), key=by_priority):
        for line in order.lines:
            picks += [
                Pick(
                    order=order.number,
                    priority=order.priority,
                    line=line.number,
                    sku=line.product.sku,
                    name=line.product.name,
                    warehouse=place,
                    quantity=reserved.unpicked,
                )
                for place, reserved in waiting.get((order.number, line.number), ())
            ]
    return picks
