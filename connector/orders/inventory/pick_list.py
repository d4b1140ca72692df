"""The pick list: quantities that are allocated and not picked yet, the most urgent order first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal

from connector.model.stock import Reservation
from connector.orders.inventory.allocation import by_priority
from connector.store import orders, stock
from connector.store.engine import Connection
from connector.store.queries.reservations import list_orders_to_pick

MAX_ORDERS = 500
"""Orders on one list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """A quantity of a line to pick in a warehouse."""

    order: str
    priority: int
    line: int
    sku: str
    name: str
    warehouse: str
    quantity: Decimal

    @property
    def as_dict(self) -> dict[str, object]:
        return asdict(self)


async def load_picks(connection: Connection, warehouse: str | None = None, *, limit: int = MAX_ORDERS) -> list[Pick]:
    """Return what to pick of up to `limit` orders in `warehouse`, or in all warehouses. Orders on hold are left out."""
    numbers = await list_orders_to_pick(connection, warehouse, limit=limit)
    unpicked: dict[tuple[str, int], list[tuple[str, Reservation]]] = {}
    for (number, index, place), reserved in sorted((await stock.load_reservations(connection, numbers)).items()):
        if reserved.unpicked > 0 and warehouse in {None, place}:
            unpicked.setdefault((number, index), []).append((place, reserved))
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
                for place, reserved in unpicked.get((order.number, line.number), ())
            ]
    return picks
