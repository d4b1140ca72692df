"""Values of ours that are held: an undo has put another value in their place in the org, and they are not sent until
they are others, or somebody releases them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, bindparam, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.field_equality import same_value
from connector.model.record import FieldValue, load_snapshot, owner_of
from connector.store import orgs
from connector.store.sql import select_in
from connector.store.tables import IS_HELD, links

MOST_COUNTED = 1_000
"""Records with held values that are counted."""
MOST_SKIPPED = 200
"""Records that a page reads besides those that it has: the org has our value of them, for example while an undo waits
to be sent."""

Place = tuple[str, str, str]
"""A place in the list: the org, the kind of the record, and its key."""

_COLUMNS = (
    links.c.org_id, links.c.entity, links.c.key, links.c.sobject, links.c.salesforce_id, links.c.snapshot, links.c.held,
)  # fmt: skip
_PLACE = (links.c.org_id, links.c.entity, links.c.key)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldCount:
    """How much is held: fields in which the org has another value than ours; of many, `of_records`: the records with
    held values. `is_more`: there are more of these."""

    number: int
    of_records: bool = False
    is_more: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldField:
    """A field with its values: `ours` is not sent, `theirs` is what the org was last known to have."""

    name: str
    ours: FieldValue
    theirs: FieldValue


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldRecord:
    """A record with held values. `entity` and `key` are those of what is sent as a unit (the order of a line), `part`
    is our key of the record if it is a part of that."""

    org_id: str
    entity: str
    key: str
    part: str | None
    sobject: str
    record_id: str
    fields: tuple[HeldField, ...]
    place: Place


_IS_OF_ORGS = links.c.org_id.in_(bindparam("the_orgs", expanding=True))
_LIMIT = bindparam("the_limit", type_=Integer)
_HELD = select(*_COLUMNS).where(IS_HELD, _IS_OF_ORGS).order_by(*_PLACE).limit(_LIMIT)


async def list_page(
    connection: AsyncConnection, org_ids: Collection[str], *, after: Place | None = None, limit: int
) -> tuple[list[HeldRecord], Place | None]:
    """Up to `limit` records of these orgs with held values, behind the place `after`, and the place to go on behind;
    None at the end. A page has fewer, or none, where the org has our value of many: it reads few more than `limit`."""
    most = limit + MOST_SKIPPED
    statement = _HELD if after is None else _HELD.where(tuple_(*_PLACE) > tuple_(*after))
    rows = (await connection.execute(statement, {"the_orgs": sorted(org_ids), "the_limit": most + 1})).all()
    found: list[HeldRecord] = []
    for row in rows[:most]:
        record = _build(row)
        if record.fields and len(found) == limit:
            return found, found[-1].place
        found += [record] if record.fields else []
    return found, _place(rows[most - 1]) if len(rows) > most else None


_HELD_OF_ORG = select(*_COLUMNS).where(IS_HELD, links.c.org_id == bindparam("the_org"))
_HELD_OF_ENTITY = _HELD_OF_ORG.where(links.c.entity == bindparam("the_entity"))
_HELD_OF_PARENT = _HELD_OF_ORG.where(links.c.parent.is_not(None))


async def list_of(
    connection: AsyncConnection, org_id: str, entity: str, keys: Sequence[str], *, with_equal: bool = False
) -> list[HeldRecord]:
    """The records with held values of these entities, with their parts; `with_equal`: also of fields in which the org
    has our value, such as those of an undo that is still to be sent."""
    rows = await select_in(connection, _HELD_OF_ENTITY, links.c.key, keys, the_org=org_id, the_entity=entity)
    rows += await select_in(connection, _HELD_OF_PARENT, links.c.parent, keys, the_org=org_id)
    found = [_build(row, with_equal=with_equal) for row in rows]
    return [record for record in found if record.fields and record.entity == entity]


_COUNT = select(func.count()).select_from(select(literal(1)).where(IS_HELD, _IS_OF_ORGS).limit(_LIMIT).subquery())


async def count(connection: AsyncConnection) -> HeldCount:
    """How much is held in the orgs of the scope. Many records are counted without a look at their values."""
    org_ids = await orgs.list_active_ids(connection)
    records = (await connection.execute(_COUNT, {"the_orgs": org_ids, "the_limit": MOST_COUNTED + 1})).scalar_one()
    if records > MOST_SKIPPED:
        return HeldCount(number=min(records, MOST_COUNTED), of_records=True, is_more=records > MOST_COUNTED)
    page, _ = await list_page(connection, org_ids, limit=MOST_SKIPPED)
    return HeldCount(number=sum(len(record.fields) for record in page))


def _build(row: Any, *, with_equal: bool = False) -> HeldRecord:
    owner = owner_of(row.entity, row.key)
    entity, key = owner or (row.entity, row.key)
    held = load_snapshot(row.held)
    snapshot = load_snapshot(row.snapshot, only=held)
    fields = tuple(
        HeldField(name=name, ours=ours, theirs=snapshot.get(name))
        for name, ours in sorted(held.items())
        if with_equal or not same_value(ours, snapshot.get(name))
    )
    return HeldRecord(
        org_id=row.org_id, entity=entity, key=key, part=None if owner is None else row.key, sobject=row.sobject,
        record_id=row.salesforce_id, fields=fields, place=_place(row),
    )  # fmt: skip


def _place(row: Any) -> Place:
    return row.org_id, row.entity, row.key
