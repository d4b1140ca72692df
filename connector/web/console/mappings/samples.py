"""The latest records of a kind, whose values show what a mapping does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector.model.change import EntityKind
from connector.store import orders, products, returns
from connector.store.engine import Connection
from connector.store.queries.order_list import OrderFilter, list_latest_orders

MOST = 3


async def load_samples(connection: Connection, kind: EntityKind) -> Sequence[Any]:
    """The latest orders; of another kind, those that the latest orders have; the first returns."""
    numbers = [number for number, _ in await list_latest_orders(connection, OrderFilter(), before=None, limit=MOST)]
    latest = await orders.load(connection, numbers)
    match kind:
        case EntityKind.ORDER:
            return sorted(latest, key=lambda order: order.header.placed_at, reverse=True)
        case EntityKind.CUSTOMER:
            return list({order.customer.number: order.customer for order in latest}.values())
        case EntityKind.PRODUCT:
            skus = list(dict.fromkeys(line.product.sku for order in latest for line in order.lines))[:MOST]
            return await products.load(connection, skus)
        case EntityKind.RETURN:
            return await returns.load(connection, await _first_returns(connection))


async def _first_returns(connection: Connection) -> list[str]:
    found: list[str] = []
    async for key in returns.keys(connection):
        found.append(key)
        if len(found) == MOST:
            break
    return found
