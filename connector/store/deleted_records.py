"""Which linked records are deleted in the org, from when they were seen to be deleted until the link ends or they are
undeleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.deleted_record import DeletedRecord
from connector.model.record import Link, owner_of
from connector.model.stage import Stage
from connector.store.inbound_tables import deleted_records
from connector.store.links import count as count_links
from connector.store.links import get as get_links
from connector.store.links import put as put_links
from connector.store.orders import orders_referencing
from connector.store.sql import chunks, select_in, upsert
from connector.store.tables import links, orders
from connector.store.unit_of_work import UnitOfWork

_CHUNK = 500
_OF_ENTITY = select(deleted_records).where(
    deleted_records.c.org_id == bindparam("the_org"), deleted_records.c.entity == bindparam("the_entity")
)


async def get(connection: AsyncConnection, org_id: str, entity: str, keys: Iterable[str]) -> dict[str, DeletedRecord]:
    """The deleted records of `keys`, by key."""
    values = {"the_org": org_id, "the_entity": entity}
    rows = await select_in(connection, _OF_ENTITY, deleted_records.c.key, keys, **values)
    return {row.key: _build(row) for row in rows}


_IS_STILL_LINKED = (
    (links.c.org_id == deleted_records.c.org_id)
    & (links.c.entity == deleted_records.c.entity)
    & (links.c.key == deleted_records.c.key)
    & (links.c.salesforce_id == deleted_records.c.record_id)  # else another record has taken its place
)
_MISSING = (
    select(deleted_records.c.entity, deleted_records.c.key)
    .join_from(deleted_records, links, _IS_STILL_LINKED)
    .where(deleted_records.c.org_id == bindparam("the_org"), deleted_records.c.merged_into.is_(None))
)
_CANCELED = select(orders.c.number).where(orders.c.stage == Stage.CANCELED.value)


async def list_missing(connection: AsyncConnection, org_id: str) -> list[tuple[str, str]]:
    """Entities that the org lacks because their record was deleted there, or a line of theirs; sorted. A record that
    was merged has another one in its place, and an order that is canceled here needs none."""
    rows = await connection.execute(_MISSING, {"the_org": org_id})
    missing = {owner_of(entity, key) or (entity, key) for entity, key in rows}
    numbers = [key for entity, key in missing if entity == EntityKind.ORDER]
    canceled = await select_in(connection, _CANCELED, orders.c.number, numbers)
    settled = {(EntityKind.ORDER.value, row.number) for row in canceled}
    return sorted(missing - settled)


_COUNT_MISSING = (
    select(deleted_records.c.entity, func.count())
    .join_from(deleted_records, links, _IS_STILL_LINKED)
    .where(deleted_records.c.org_id == bindparam("the_org"), deleted_records.c.merged_into.is_(None))
    .group_by(deleted_records.c.entity)
)


async def count_in_org(connection: AsyncConnection, org_id: str) -> dict[str, int]:
    """How many linked records of each entity the org has: without those that were deleted there."""
    rows = await connection.execute(_COUNT_MISSING, {"the_org": org_id})
    deleted: dict[str, int] = dict(rows.all())
    linked = await count_links(connection, org_id)
    return {entity: number - deleted.get(entity, 0) for entity, number in linked.items()}


async def put(uow: UnitOfWork, org_id: str, items: Iterable[DeletedRecord]) -> None:
    rows = [
        {
            "org_id": org_id,
            "entity": item.entity,
            "key": item.key,
            "record_id": item.record_id,
            "deleted_at": item.deleted_at,
            "deleted_by": item.deleted_by,
            "merged_into": item.merged_into,
        }
        for item in sorted(items, key=lambda item: (item.entity, item.key))
    ]
    await upsert(uow.connection, deleted_records, rows)


_DROP = delete(deleted_records).where(
    deleted_records.c.org_id == bindparam("the_org"),
    deleted_records.c.entity == bindparam("the_entity"),
    deleted_records.c.key.in_(bindparam("the_keys", expanding=True)),
)


async def drop(uow: UnitOfWork, org_id: str, entity: str, keys: Iterable[str]) -> None:
    for chunk in chunks(sorted(set(keys))):
        await uow.connection.execute(_DROP, {"the_org": org_id, "the_entity": entity, "the_keys": chunk})


async def with_merged(connection: AsyncConnection, org_id: str, links: Mapping[str, Link]) -> dict[str, Link]:
    """Links of customers by key, in which an account that was merged into another customer's is replaced by that one:
    what refers to the customer here refers to that account in the org."""
    merged = {
        key: item.merged_into
        for key, item in (await get(connection, org_id, EntityKind.CUSTOMER, links)).items()
        if item.merged_into is not None and item.record_id == links[key].salesforce_id
    }
    return {key: replace(link, salesforce_id=merged[key]) if key in merged else link for key, link in links.items()}


async def follow_merge(uow: UnitOfWork, org_id: str, customers: Iterable[str], moved: Mapping[str, str]) -> int:
    """The org has moved everything from these accounts to others (`moved`, by record ID): the snapshots of the orders
    of these customers say so too, so nothing is due. Customers whose account was merged into a moved one earlier follow
    as well. Returns the number of orders."""
    followers = select(deleted_records.c.key).where(
        deleted_records.c.org_id == org_id, deleted_records.c.merged_into.in_(sorted(moved))
    )
    keys = {*customers, *(await uow.connection.execute(followers)).scalars()}
    for before, after in sorted(moved.items()):
        chosen = (deleted_records.c.org_id == org_id, deleted_records.c.merged_into == before)
        await uow.connection.execute(update(deleted_records).where(*chosen).values(merged_into=after))
    numbers = [number for number, _ in await orders_referencing(uow.connection, EntityKind.CUSTOMER, sorted(keys))]
    count = 0
    for start in range(0, len(numbers), _CHUNK):
        links = await get_links(uow.connection, org_id, EntityKind.ORDER, numbers[start : start + _CHUNK])
        updated = [
            replace(link, snapshot={**link.snapshot, "AccountId": moved[str(link.snapshot["AccountId"])]})
            for link in links.values()
            if link.snapshot.get("AccountId") in moved
        ]
        await put_links(uow, org_id, updated)
        count += len(updated)
    return count


def _build(row: Any) -> DeletedRecord:
    return DeletedRecord(
        entity=row.entity,
        key=row.key,
        record_id=row.record_id,
        deleted_at=row.deleted_at,
        deleted_by=row.deleted_by,
        merged_into=row.merged_into,
    )
