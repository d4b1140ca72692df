"""Makes entities due as if they had changed: the next push maps them again and sends what differs from the org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from connector.errors import ConnectorError
from connector.jobs.org_identity import OrgSession, check_belongs_here, confirm_org
from connector.log import current_run
from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.model.record import PARTS
from connector.model.resync import ResyncFilter, ResyncMode
from connector.outbound.org_state import Reader, existing_record_ids
from connector.settings import Settings
from connector.store import customers, dead_letters, journal, links, orders, orgs, products, resyncs, returns
from connector.store.engine import Store
from connector.store.outbox_filters import Selection
from connector.store.partitions import slot_of
from connector.store.queries.entity_orgs import find_orgs
from connector.store.references import listed_keys
from connector.store.unit_of_work import UnitOfWork

BATCH = 500
STORES: Mapping[EntityKind, Any] = {
    EntityKind.CUSTOMER: customers,
    EntityKind.PRODUCT: products,
    EntityKind.ORDER: orders,
    EntityKind.RETURN: returns,
}


class OrgClient(Reader, OrgSession, Protocol):
    """An org that can be signed in to and queried."""


async def resync(
    store: Store,
    client: OrgClient,
    settings: Settings,
    kind: EntityKind | None,
    keys: Sequence[str],
    *,
    recreate: bool = False,
) -> Selection | None:
    """Make these entities due, and return what the following push is to send.

    `recreate`: named records that were deleted in the org are created again.
    """
    org_id = await confirm_org(store, client, settings)
    if kind is not None:
        await check_belongs_here(store, kind, keys)
    actor = journal.command_line_actor()
    run, asked = None, None
    if kind is not None:
        chosen = ResyncFilter(keys=tuple(keys[: journal.MOST_NAMED]))
        async with store.transaction() as uow:
            asked = await resyncs.record(uow, kind, chosen, mode=ResyncMode.PUSH, total=len(keys), actor=actor)
        run = asked.run_name
    token = current_run.set(run)
    try:
        number = await make_due(store, kind, keys)
        detail = {"keys": list(keys[: journal.MOST_NAMED]), "count": number, "recreate": recreate, "run": run}
        entry = journal.JournalEntry(
            entity="resync",
            key=kind.value if kind else "all",
            action="made due",
            detail=detail,
            org_id=org_id,
            actor=actor,
        )
        async with store.transaction() as uow:
            await journal.write(uow, [entry])
        if recreate and kind is not None:
            await drop_links_of_deleted(store, client, org_id, kind, keys)
    except ConnectorError as error:
        if asked is not None:
            async with store.transaction() as uow:
                await resyncs.note_recorded(uow, asked.id, error=str(error))
        raise
    finally:
        current_run.reset(token)
    if asked is not None:
        async with store.transaction() as uow:
            await resyncs.note_recorded(uow, asked.id, total=number)
    return await push_selection(store, kind, keys)


async def make_due(store: Store, kind: EntityKind | None, keys: Sequence[str], *, unconfirmed: bool = False) -> int:
    """Make `keys` of a kind due, or all keys of it, or all kinds. Returns their number.

    They are sent after all entities that have really changed. Entities selected by key are compared with the present
    values in the org, so changes made there are corrected, and deletions are reported. Others are compared with the
    snapshot of the last agreed values, which needs no call if nothing differs; with `unconfirmed` they are compared
    with the org too. Raises ConnectorError that lists unknown keys.
    """
    if kind is not None and keys:
        return await _make_keys_due(store, kind, keys)
    number = 0
    for entity_kind in EntityKind if kind is None else (kind,):
        async with store.reader() as connection:
            all_keys = [key async for key in STORES[entity_kind].keys(connection)]
        for start in range(0, len(all_keys), BATCH):
            keys_here = await _list_keys_here(store, entity_kind, all_keys[start : start + BATCH])
            number += await _capture_batch(store, entity_kind, keys_here, unconfirmed=unconfirmed)
    return number


async def _list_keys_here(store: Store, kind: EntityKind, keys: Sequence[str]) -> Sequence[str]:
    """Those of the org that the store works for."""
    if store.org is None:
        return keys
    async with store.reader() as connection:
        names = await find_orgs(connection, kind, keys)
    return [key for key in keys if names.get(key, store.org) == store.org]


async def push_selection(store: Store, kind: EntityKind | None, keys: Sequence[str]) -> Selection | None:
    """Return what a resync sends: these entities, and products that its orders need and the org lacks."""
    if kind is None:
        return None
    selection: dict[EntityKind, set[str] | None] = {kind: set(keys) or None}
    if kind is EntityKind.ORDER:
        selection[EntityKind.PRODUCT] = await _products_needed(store, keys)
    return selection


async def drop_links_of_deleted(
    store: Store, reader: Reader, org_id: str, kind: EntityKind, keys: Sequence[str]
) -> int:
    """Delete the links of `keys` whose records no longer exist in the org, so that they are created again. Returns
    their number."""
    entities = (kind.value, *([PARTS[kind.value]] if kind.value in PARTS else []))
    async with store.reader() as connection:
        stored_links = list((await links.get(connection, org_id, kind.value, keys)).values())
        for part in entities[1:]:
            links_by_parent = await links.children(connection, org_id, part, keys)
            stored_links += [link for of_parent in links_by_parent.values() for link in of_parent.values()]
    existing = await existing_record_ids(reader, stored_links)
    lost = [link for link in stored_links if link.salesforce_id not in existing]
    async with store.transaction() as uow:
        for entity in entities:
            await links.drop(uow, org_id, entity, [link.key for link in lost if link.entity == entity])
        entries = [
            journal.JournalEntry(
                entity=link.entity,
                key=link.key,
                action="unlinked",
                detail={
                    "sobject": link.sobject,
                    "id": link.salesforce_id,
                    "why": "deleted in the org; created again",
                },
                org_id=org_id,
            )
            for link in lost
        ]
        await journal.write(uow, entries)
        await dead_letters.requeue_blocked_by(uow, [f"{link.entity} {link.key}" for link in lost])
    return len(lost)


async def _products_needed(store: Store, numbers: Sequence[str]) -> set[str] | None:
    """Return the SKUs of these orders that the org does not have; None means any product, if all orders are sent."""
    if not numbers:
        return None
    async with store.reader() as connection:
        loaded = await orders.load(connection, list(numbers))
        skus = {line.product.sku for order in loaded for line in order.lines}
        org = await orgs.get_active(connection)
        return skus if org is None else await links.list_missing(connection, org.org_id, "product", skus)


async def _make_keys_due(store: Store, kind: EntityKind, keys: Sequence[str]) -> int:
    unique_keys = list(dict.fromkeys(keys))
    async with store.reader() as connection:
        existing_keys = {item.key for item in await STORES[kind].load(connection, unique_keys)}
    missing = [key for key in unique_keys if key not in existing_keys]
    if missing:
        others = [key for key in unique_keys if key in existing_keys]
        nothing = f" Nothing was made due, {listed_keys(others)} neither." if others else ""
        hint = "Correct the key, or import it."
        raise ConnectorError(f"There is no {kind} {listed_keys(missing)} here.{nothing}", hint=hint)
    parts = [unique_keys[start : start + BATCH] for start in range(0, len(unique_keys), BATCH)]
    return sum([await _capture_batch(store, kind, part, unconfirmed=True) for part in parts])


async def _capture_batch(store: Store, kind: EntityKind, keys: Sequence[str], *, unconfirmed: bool = False) -> int:
    async with store.transaction() as uow:
        return await capture(uow, kind, keys, Lane.BACKFILL, unconfirmed=unconfirmed)


async def capture(
    uow: UnitOfWork, kind: EntityKind, keys: Sequence[str], lane: Lane, *, unconfirmed: bool = False
) -> int:
    """Make these due, as if they had changed. Returns how many there are."""
    items = await STORES[kind].load(uow.connection, keys)
    await dead_letters.journal_resync(uow, kind, [item.key for item in items])
    for item in items:
        uow.changed(kind, item.key, slot_of(item), lane, unconfirmed=unconfirmed)
    return len(items)
