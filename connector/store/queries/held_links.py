"""Values of ours that are held: an undo has put another value in their place in the org, and they are not sent until
they are others, or somebody releases them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.field_equality import same_value
from connector.model.record import FieldValue, load_snapshot, owner_of
from connector.store import orgs
from connector.store.sql import select_in
from connector.store.tables import IS_HELD, links

MOST_COUNTED = 1_000
"""Records with held values that are counted."""

Place = tuple[str, str, str]
"""A place in the list: the org, the kind of the record, and its key."""

_COLUMNS = (
    links.c.org_id, links.c.entity, links.c.key, links.c.sobject, links.c.salesforce_id, links.c.snapshot, links.c.held,
)  # fmt: skip


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


async def list_page(
    connection: AsyncConnection, org_ids: Collection[str], *, after: Place | None = None, limit: int
) -> list[HeldRecord]:
    """Up to `limit` records of these orgs with held values, behind the place `after`."""
    place = (links.c.org_id, links.c.entity, links.c.key)
    statement = select(*_COLUMNS).where(IS_HELD, links.c.org_id.in_(sorted(org_ids))).order_by(*place)
    found: list[HeldRecord] = []
    while len(found) < limit:
        some = statement if after is None else statement.where(tuple_(*place) > tuple_(*after))
        rows = (await connection.execute(some.limit(limit))).all()
        found += [record for row in rows if (record := _build(row)).fields]
        if len(rows) < limit:
            break
        after = rows[-1].org_id, rows[-1].entity, rows[-1].key
    return found[:limit]


async def list_of(
    connection: AsyncConnection, org_id: str, entity: str, keys: Sequence[str], *, with_equal: bool = False
) -> list[HeldRecord]:
    """The records with held values of these entities, with their parts; `with_equal`: also of fields in which the org
    has our value, such as those of an undo that is still to be sent."""
    statement = select(*_COLUMNS).where(IS_HELD, links.c.org_id == org_id)
    rows = await select_in(connection, statement.where(links.c.entity == entity), links.c.key, keys)
    rows += await select_in(connection, statement.where(links.c.parent.is_not(None)), links.c.parent, keys)
    found = [_build(row, with_equal=with_equal) for row in rows]
    return [record for record in found if record.fields and record.entity == entity]


async def count_fields(connection: AsyncConnection) -> int:
    """How many fields are held in the orgs of the scope, in the first 1,000 records with such."""
    page = await list_page(connection, await orgs.list_active_ids(connection), limit=MOST_COUNTED)
    return sum(len(record.fields) for record in page)


def _build(row: Any, *, with_equal: bool = False) -> HeldRecord:
    owner = owner_of(row.entity, row.key)
    entity, key = owner or (row.entity, row.key)
    snapshot = load_snapshot(row.snapshot)
    fields = tuple(
        HeldField(name=name, ours=ours, theirs=snapshot.get(name))
        for name, ours in sorted(load_snapshot(row.held).items())
        if with_equal or not same_value(ours, snapshot.get(name))
    )
    return HeldRecord(
        org_id=row.org_id, entity=entity, key=key, part=None if owner is None else row.key, sobject=row.sobject,
        record_id=row.salesforce_id, fields=fields, place=(row.org_id, row.entity, row.key),
    )  # fmt: skip
