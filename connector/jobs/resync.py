"""Makes entities due as if they had changed: the next push maps them anew and sends what differs from the org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from connector.errors import ConnectorError
from connector.jobs.org_identity import SignedIn, confirm_org
from connector.model.change import EntityKind
from connector.model.record import PARTS
from connector.outbound.link_check import Reader, records_there
from connector.settings import Settings
from connector.store import customers, journal, links, orders, orgs, outbox, products, returns
from connector.store.engine import Store
from connector.store.outbox import Selection
from connector.store.unit_of_work import Lane, partition_hash

BATCH = 500
STORES: Mapping[EntityKind, Any] = {
    EntityKind.CUSTOMER: customers,
    EntityKind.PRODUCT: products,
    EntityKind.ORDER: orders,
    EntityKind.RETURN: returns,
}


class Client(Reader, SignedIn, Protocol):
    """An org that tells who it is, and can be asked."""


async def resync(
    store: Store,
    client: Client,
    settings: Settings,
    kind: EntityKind | None,
    keys: Sequence[str],
    *,
    recreate: bool = False,
) -> Selection | None:
    """Make these due, and answer what the push that follows is to send. `recreate`: records of named ones that were
    deleted in the org are made anew."""
    org_id = await confirm_org(store, client, settings)
    await make_due(store, kind, keys)
    if recreate and kind is not None:
        await forget_lost(store, client, org_id, kind, keys)
    return await selection(store, kind, keys)


async def make_due(store: Store, kind: EntityKind | None, keys: Sequence[str], *, unsure: bool = False) -> int:
    """Make `keys` of a kind due, or every key of it, or of every kind; how many there are.

    They go out after everything that really changed. Named ones are held against what the org has now, so that one that
    was changed there is corrected, and one that was deleted there is reported; others against what both sides last
    agreed on, which costs no call where nothing differs, unless they are `unsure` too. ConnectorError names keys that
    are not here.
    """
    if kind is not None and keys:
        return await _named(store, kind, keys)
    number = 0
    for each in EntityKind if kind is None else (kind,):
        async with store.reader() as connection:
            known = [key async for key in STORES[each].keys(connection)]
        for start in range(0, len(known), BATCH):
            number += await _batch(store, each, known[start : start + BATCH], unsure=unsure)
    return number


async def selection(store: Store, kind: EntityKind | None, keys: Sequence[str]) -> Selection | None:
    """What a resync of these sends: no other change that is due, but products that orders need and the org lacks."""
    if kind is None:
        return None
    chosen: dict[EntityKind, set[str] | None] = {kind: set(keys) or None}
    if kind is EntityKind.ORDER:
        chosen[EntityKind.PRODUCT] = await _products_needed(store, keys)
    return chosen


async def forget_lost(store: Store, reader: Reader, org_id: str, kind: EntityKind, keys: Sequence[str]) -> int:
    """Forget the links of `keys` whose records the org has no more, so that they are made anew; how many there were."""
    entities = (kind.value, *([PARTS[kind.value]] if kind.value in PARTS else []))
    async with store.reader() as connection:
        found = list((await links.get(connection, org_id, kind.value, keys)).values())
        for part in entities[1:]:
            of_parents = await links.children(connection, org_id, part, keys)
            found += [link for of_parent in of_parents.values() for link in of_parent.values()]
    there = await records_there(reader, found)
    lost = [link for link in found if link.salesforce_id not in there]
    async with store.transaction() as uow:
        for entity in entities:
            await links.drop(uow, org_id, entity, [link.key for link in lost if link.entity == entity])
        entries = [
            journal.JournalEntry(
                entity=link.entity,
                key=link.key,
                action="unlinked",
                detail={"sobject": link.sobject, "id": link.salesforce_id, "why": "gone in the org, to be made anew"},
                org_id=org_id,
            )
            for link in lost
        ]
        await journal.write(uow, entries)
        await outbox.requeue_blocked_by(uow, [f"{link.entity} {link.key}" for link in lost])
    return len(lost)


async def _products_needed(store: Store, numbers: Sequence[str]) -> set[str] | None:
    """SKUs of these orders that the org does not have; None for any, if all orders are meant."""
    if not numbers:
        return None
    async with store.reader() as connection:
        found = await orders.load(connection, list(numbers))
        skus = {line.product.sku for order in found for line in order.lines}
        org = await orgs.active(connection)
        return skus if org is None else await links.absent(connection, org.org_id, "product", skus)


async def _named(store: Store, kind: EntityKind, keys: Sequence[str]) -> int:
    named = list(dict.fromkeys(keys))
    async with store.reader() as connection:
        found = {item.key for item in await STORES[kind].load(connection, named)}
    missing = [key for key in named if key not in found]
    if missing:
        raise ConnectorError(f"There is no {kind} {', '.join(missing)} here.", hint="Correct the key, or import it.")
    parts = [named[start : start + BATCH] for start in range(0, len(named), BATCH)]
    return sum([await _batch(store, kind, part, unsure=True) for part in parts])


async def _batch(store: Store, kind: EntityKind, keys: Sequence[str], *, unsure: bool = False) -> int:
    async with store.transaction() as uow:
        items = await STORES[kind].load(uow.connection, keys)
        for item in items:
            owner = item.customer.key if kind in {EntityKind.ORDER, EntityKind.RETURN} else item.key
            uow.changed(kind, item.key, partition_hash(owner), Lane.BACKFILL, unsure=unsure)
    return len(items)
