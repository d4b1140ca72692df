"""Makes entities due as if they had changed: the next push maps them anew and sends what differs from the org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connector.errors import ConnectorError
from connector.model.change import EntityKind
from connector.store import customers, orders, products, returns
from connector.store.engine import Store
from connector.store.unit import Lane, slot_of

BATCH = 500
STORES: Mapping[EntityKind, Any] = {
    EntityKind.CUSTOMER: customers,
    EntityKind.PRODUCT: products,
    EntityKind.ORDER: orders,
    EntityKind.RETURN: returns,
}


async def make_due(store: Store, kind: EntityKind | None, keys: Sequence[str]) -> int:
    """Make `keys` of a kind due, or every key of it, or of every kind; how many there are.

    They go out after everything that really changed. Named ones are held against what the org has now, so that one that
    was changed or deleted there is mended; others against what both sides last agreed on, which costs no call where
    nothing differs. ConnectorError names keys that are not here.
    """
    if kind is not None and keys:
        return await _named(store, kind, keys)
    number = 0
    for each in EntityKind if kind is None else (kind,):
        async with store.reader() as connection:
            known = [key async for key in STORES[each].keys(connection)]
        for start in range(0, len(known), BATCH):
            number += await _batch(store, each, known[start : start + BATCH])
    return number


async def _named(store: Store, kind: EntityKind, keys: Sequence[str]) -> int:
    async with store.reader() as connection:
        found = {item.key for item in await STORES[kind].load(connection, list(keys))}
    missing = [key for key in keys if key not in found]
    if missing:
        raise ConnectorError(f"There is no {kind} {', '.join(missing)} here.", hint="Correct the key, or import it.")
    parts = [list(keys)[start : start + BATCH] for start in range(0, len(keys), BATCH)]
    return sum([await _batch(store, kind, part, unsure=True) for part in parts])


async def _batch(store: Store, kind: EntityKind, keys: Sequence[str], *, unsure: bool = False) -> int:
    async with store.transaction() as uow:
        items = await STORES[kind].load(uow.connection, keys)
        for item in items:
            owner = item.customer.key if kind in {EntityKind.ORDER, EntityKind.RETURN} else item.key
            uow.changed(kind, item.key, slot_of(owner), Lane.BACKFILL, unsure=unsure)
    return len(items)
