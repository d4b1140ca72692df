"""When entities were changed here last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.store.sql import select_in
from connector.store.tables import customers, orders, products

_COLUMNS = {
    EntityKind.CUSTOMER: (customers.c.number, customers.c.updated_at),
    EntityKind.PRODUCT: (products.c.sku, products.c.updated_at),
    EntityKind.ORDER: (orders.c.number, orders.c.updated_at),
}


async def changed_at(connection: AsyncConnection, kind: EntityKind, keys: Iterable[str]) -> dict[str, datetime]:
    """When these were changed last, by key; of an order, anything of it. A return has no time of its own."""
    if kind not in _COLUMNS:
        return {}
    key, moment = _COLUMNS[kind]
    return {row[0]: row[1] for row in await select_in(connection, select(key, moment), key, keys)}
