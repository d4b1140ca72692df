"""Links between entities and records of an org, with a snapshot of the field values that both sides agreed on.

Links are stored by org, because the same database may have worked with a sandbox before. Besides the entities of the
outbox, lines and prices have links: the key of a line is `<order>-<line>`, of a price `<sku>|<currency>`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Select, bindparam, delete, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.record import FieldValue, Link, dump_snapshot, load_snapshot, owner_of
from connector.store.sql import chunks, select_in, upsert
from connector.store.tables import links
from connector.store.unit_of_work import UnitOfWork

ENTITIES = ("customer", "product", "order", "line", "price", "return", "return_line")
Name = tuple[str, str]
"""The entity and the key of a link."""
_COLUMNS = (links.c.key, links.c.sobject, links.c.salesforce_id, links.c.snapshot, links.c.synced_at, links.c.held)
_IS_OF_ORG = links.c.org_id == bindparam("the_org")
_OF_ENTITY = select(*_COLUMNS).where(_IS_OF_ORG, links.c.entity == bindparam("the_entity"))


async def get(connection: AsyncConnection, org_id: str, entity: str, keys: Iterable[str]) -> dict[str, Link]:
    """Return the links of `keys`, by key; keys without a link are left out."""
    rows = await select_in(connection, _OF_ENTITY, links.c.key, keys, the_org=org_id, the_entity=entity)
    return {row[0]: _build_link(entity, row) for row in rows}


_OF_ORG = select(links.c.entity, *_COLUMNS).where(_IS_OF_ORG)
_LOCKED_OF_ORG = _OF_ORG.order_by(links.c.entity, links.c.key).with_for_update()


async def find(
    connection: AsyncConnection, org_id: str, salesforce_ids: Iterable[str], *, lock: bool = False
) -> dict[str, Link]:
    """Return the links to records of the org, by their 18-character ID; `lock`: nobody changes them before this
    transaction ends."""
    statement = _LOCKED_OF_ORG if lock else _OF_ORG
    rows = await select_in(connection, statement, links.c.salesforce_id, salesforce_ids, the_org=org_id)
    return {row.salesforce_id: _build_link(row.entity, row[1:]) for row in rows}


_RECORD_IDS = _OF_ENTITY.with_only_columns(links.c.key, links.c.salesforce_id)


async def record_ids(connection: AsyncConnection, org_id: str, entity: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the IDs of the records that `keys` are linked to, by key."""
    rows = await select_in(connection, _RECORD_IDS, links.c.key, keys, the_org=org_id, the_entity=entity)
    return {row.key: row.salesforce_id for row in rows}


async def list_by_record(
    connection: AsyncConnection,
    org_id: str,
    sobject: str,
    *,
    after: str,
    until: str | None = None,
    limit: int,
    with_snapshots: bool = True,
) -> list[Link]:
    """Return up to `limit` links to records of an object whose IDs follow `after`, up to and with `until`, in byte
    order. Without their snapshots, which take most of the time, those are empty."""
    values = {"the_org": org_id, "the_sobject": sobject, "the_start": after, "the_end": until, "the_limit": limit}
    rows = await connection.execute(_by_record(with_snapshots, until is not None), values)
    return [_build_link(row.entity, row[1:]) for row in rows]


@lru_cache
def _by_record(with_snapshots: bool, has_end: bool) -> Select[Any]:
    columns = _COLUMNS if with_snapshots else (*_COLUMNS[:3], literal("{}"), *_COLUMNS[4:])
    statement = (
        select(links.c.entity, *columns)
        .where(_IS_OF_ORG, links.c.salesforce_id > bindparam("the_start"), links.c.sobject == bindparam("the_sobject"))
        .order_by(links.c.salesforce_id)
        .limit(bindparam("the_limit", type_=Integer))
    )
    return statement.where(links.c.salesforce_id <= bindparam("the_end")) if has_end else statement


_KEYS = _OF_ENTITY.with_only_columns(links.c.key)


async def list_missing(connection: AsyncConnection, org_id: str, entity: str, keys: Iterable[str]) -> set[str]:
    """Return the keys that have no link."""
    wanted_keys = set(keys)
    values = {"the_org": org_id, "the_entity": entity}
    return wanted_keys - {
        row.key for row in await select_in(connection, _KEYS, links.c.key, sorted(wanted_keys), **values)
    }


_PARTS = _OF_ENTITY.with_only_columns(links.c.parent, *_COLUMNS)


async def children(
    connection: AsyncConnection, org_id: str, entity: str, parents: Iterable[str]
) -> dict[str, dict[str, Link]]:
    """Return the links of the parts (lines, prices) of each parent, by key. Parts that no longer exist here are
    included. A parent without links has no entry."""
    rows = await select_in(connection, _PARTS, links.c.parent, parents, the_org=org_id, the_entity=entity)
    links_by_parent: dict[str, dict[str, Link]] = {}
    for row in rows:
        links_by_parent.setdefault(row.parent, {})[row.key] = _build_link(entity, row[1:])
    return links_by_parent


_OLDEST = select(links.c.synced_at).where(_IS_OF_ORG).order_by(links.c.synced_at).limit(1)


async def oldest(connection: AsyncConnection, org_id: str) -> datetime | None:
    """When the link that was stored longest ago was stored; None if there is none."""
    return (await connection.execute(_OLDEST, {"the_org": org_id})).scalar()


async def put(uow: UnitOfWork, org_id: str, items: Sequence[Link]) -> None:
    """Store these links in place of older ones. If a name occurs twice, the last one wins."""
    latest = {(link.entity, link.key): link for link in items}
    rows = [
        {
            "org_id": org_id,
            "entity": entity,
            "key": key,
            "parent": _parent(entity, key),
            "sobject": link.sobject,
            "salesforce_id": link.salesforce_id,
            "snapshot": dump_snapshot(link.snapshot),
            "synced_at": uow.now,
            "status": _status(link),
        }
        for (entity, key), link in sorted(latest.items(), key=lambda item: item[0])
    ]
    await upsert(uow.connection, links, rows)


async def hold(
    uow: UnitOfWork,
    org_id: str,
    held: Mapping[Name, Mapping[str, FieldValue]],
    released: Mapping[Name, Collection[str]],
) -> None:
    """Hold these values of ours, by entity, key and field, and release these fields: `put` leaves that as it is."""

    def change(name: Name, before: Mapping[str, FieldValue]) -> Mapping[str, FieldValue]:
        freed = {*released.get(name, ())}
        return {**{field: value for field, value in before.items() if field not in freed}, **held.get(name, {})}

    await _change_holds(uow, org_id, {*held, *released}, change)


async def end_holds(uow: UnitOfWork, org_id: str, ended: Mapping[Name, Mapping[str, FieldValue]]) -> None:
    """End the holds of these values, by entity, key and field. A field in which another value is held by now stays
    held."""

    def change(name: Name, before: Mapping[str, FieldValue]) -> Mapping[str, FieldValue]:
        over = ended[name]
        return {field: value for field, value in before.items() if field not in over or over[field] != value}

    await _change_holds(uow, org_id, ended, change)


async def _change_holds(
    uow: UnitOfWork,
    org_id: str,
    names: Collection[Name],
    change: Callable[[Name, Mapping[str, FieldValue]], Mapping[str, FieldValue]],
) -> None:
    """Store what `change` makes of the held values of each of these links. The links are locked first: all held values
    of a link are in one column, and another transaction may hold or release another field."""
    for entity in sorted({entity for entity, _ in names}):
        statement = select(links.c.key, links.c.held).where(links.c.org_id == org_id, links.c.entity == entity)
        statement = statement.order_by(links.c.key).with_for_update()
        keys = sorted(key for kind, key in names if kind == entity)
        for key, text in await select_in(uow.connection, statement, links.c.key, keys):
            before = {} if text is None else load_snapshot(text)
            after = change((entity, key), before)
            if after != before:
                chosen = (links.c.org_id == org_id, links.c.entity == entity, links.c.key == key)
                held = dump_snapshot(after) if after else None
                await uow.connection.execute(update(links).where(*chosen).values(held=held))


_DELETE = delete(links).where(_IS_OF_ORG, links.c.entity == bindparam("the_entity"))
_DROP = _DELETE.where(links.c.key.in_(bindparam("the_keys", expanding=True)))
_DROP_PARTS = _DELETE.where(links.c.parent.in_(bindparam("the_parents", expanding=True)))


async def drop(uow: UnitOfWork, org_id: str, entity: str, keys: Iterable[str]) -> int:
    """Delete the links of `keys`, and return how many there were."""
    number = 0
    for chunk in chunks(sorted(set(keys))):
        values = {"the_org": org_id, "the_entity": entity, "the_keys": chunk}
        number += (await uow.connection.execute(_DROP, values)).rowcount
    return number


async def drop_children(uow: UnitOfWork, org_id: str, entity: str, parents: Iterable[str]) -> int:
    """Delete the links of the lines of these orders, or of the prices of these products, and return how many there
    were."""
    number = 0
    for chunk in chunks(sorted(set(parents))):
        values = {"the_org": org_id, "the_entity": entity, "the_parents": chunk}
        number += (await uow.connection.execute(_DROP_PARTS, values)).rowcount
    return number


async def statuses(connection: AsyncConnection, org_ids: Sequence[str], numbers: Iterable[str]) -> dict[str, str]:
    """Return the status of each of these orders in its org, by number; orders without a record are left out."""
    statement = select(links.c.key, links.c.status).where(links.c.org_id.in_(org_ids), links.c.entity == "order")
    rows = await select_in(connection, statement.where(links.c.status.is_not(None)), links.c.key, numbers)
    return {row.key: row.status for row in rows}


async def list_statuses(connection: AsyncConnection, org_ids: Sequence[str], *, most: int = 30) -> list[str]:
    """Return the statuses that orders have in these orgs, sorted: one step in the index for each."""
    found: set[str] = set()
    for org_id in org_ids:
        last: str | None = ""
        for _ in range(most):
            statement = select(func.min(links.c.status)).where(links.c.org_id == org_id, links.c.status > last)
            last = (await connection.execute(statement)).scalar()
            if last is None:
                break
            found.add(last)
    return sorted(found)


_COUNT = select(links.c.entity, func.count()).where(_IS_OF_ORG).group_by(links.c.entity)


async def count(connection: AsyncConnection, org_id: str) -> dict[str, int]:
    """Return the number of links by entity, including zeros."""
    counts: dict[str, int] = dict((await connection.execute(_COUNT, {"the_org": org_id})).all())
    return {entity: counts.get(entity, 0) for entity in ENTITIES}


def _status(link: Link) -> str | None:
    """What orders are found by; no other link has one."""
    status = link.snapshot.get("Status") if link.entity == "order" else None
    return status if isinstance(status, str) else None


def _parent(entity: str, key: str) -> str | None:
    owner = owner_of(entity, key)
    return None if owner is None else owner[1]


def _build_link(entity: str, row: Sequence[Any]) -> Link:
    key, sobject, salesforce_id, snapshot, synced_at, held = row
    return Link(
        entity=entity,
        key=key,
        sobject=sobject,
        salesforce_id=salesforce_id,
        snapshot=load_snapshot(snapshot),
        synced_at=synced_at,
        held={} if held is None else load_snapshot(held),
    )
