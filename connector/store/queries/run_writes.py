"""What the journal has of one run: every write of it, in both directions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.store.field_notes import FieldCounts
from connector.store.journal import JournalRecord, build_record
from connector.store.sql import select_in
from connector.store.tables import HAS_FIELDS, HAS_RUN, journal

row = journal.c
_FIRST = 1_000


def _of(run: str) -> ColumnElement[bool]:
    return and_(HAS_RUN, row.run == run)


async def list_entries(
    connection: AsyncConnection, run: str, *, keys: Collection[str] = (), after: int = 0, limit: int
) -> list[JournalRecord]:
    """Up to `limit` entries of a run behind the one with the ID `after`, oldest first; `keys`: only of these."""
    statement = select(journal).where(_of(run), row.id > after).order_by(row.id).limit(limit)
    if keys:
        statement = statement.where(row.key.in_(sorted(keys)))
    return [build_record(item) for item in await connection.execute(statement)]


async def list_orgs(connection: AsyncConnection, run: str) -> list[str]:
    """The IDs of the orgs that the first entries of a run concern."""
    first = select(row.org_id).where(_of(run)).order_by(row.id).limit(_FIRST).subquery()
    found = await connection.execute(select(first.c.org_id).where(first.c.org_id.is_not(None)).distinct())
    return list(found.scalars())


async def list_entries_between(
    connection: AsyncConnection, keys: Sequence[str], *, since: datetime, until: datetime, limit: int
) -> list[JournalRecord]:
    """Up to `limit` entries with fields of the entities with these keys, of that time, oldest first."""
    statement = select(journal).where(row.entity.in_([*EntityKind]), HAS_FIELDS, row.at >= since, row.at < until)
    found = await select_in(connection, statement.limit(limit), row.key, keys)
    return [build_record(item) for item in sorted(found, key=lambda item: item.id)]


@dataclass(kw_only=True)
class RunCounts:
    """What the first entries of a run come to. `is_partial`: there are more."""

    fields: FieldCounts = field(default_factory=FieldCounts)
    calls: set[str] = field(default_factory=set)
    refused: int = 0
    is_partial: bool = False


async def add_counts(connection: AsyncConnection, counts: RunCounts, run: str, *, after: int, limit: int) -> int | None:
    """Add what up to `limit` entries of a run behind the one with the ID `after` have. Returns the ID to go on behind;
    None at the end."""
    statement = select(row.id, row.action, row.detail, row.fields).where(_of(run), row.id > after)
    entries = (await connection.execute(statement.order_by(row.id).limit(limit))).all()
    for _, action, detail, fields in entries:
        counts.refused += action == "refused"
        if action in {"written", "received"}:
            call = orjson.loads(detail).get("call")
            counts.calls |= {call["id"]} if call else set()
            if fields is not None:
                counts.fields.add(fields)
    return entries[-1].id if len(entries) == limit else None


async def find_earlier_versions(
    connection: AsyncConnection, org_id: str, entity: str, keys: Sequence[str], *, before: int
) -> dict[str, int]:
    """The version of the mappings by which each of these was last sent to this org before the entry with the ID
    `before`, by key; without those of which the journal has no such entry."""
    statement = select(func.max(row.id)).where(row.entity == entity, row.action == "written", row.id < before)
    statement = statement.where(row.org_id == org_id)
    newest = [item[0] for item in await select_in(connection, statement.group_by(row.key), row.key, keys)]
    found = await select_in(connection, select(row.key, row.detail), row.id, newest)
    details = {item.key: orjson.loads(item.detail) for item in found}
    return {key: detail["mapping_version"] for key, detail in details.items() if "mapping_version" in detail}


async def list_later(
    connection: AsyncConnection, entity: str, keys: Sequence[str], *, after: int
) -> Mapping[str, list[JournalRecord]]:
    """The entries with fields of these entities behind the one with the ID `after`, oldest first, by key."""
    found: dict[str, list[Any]] = {}
    statement = select(journal).where(row.entity == entity, row.id > after, HAS_FIELDS)
    for item in await select_in(connection, statement, row.key, keys):
        found.setdefault(item.key, []).append(item)
    return {key: [build_record(item) for item in sorted(some, key=lambda item: item.id)] for key, some in found.items()}
