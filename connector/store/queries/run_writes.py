"""What the journal has of one run: every write of it, in both directions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.journal import JournalRecord, build_record
from connector.store.sql import select_in
from connector.store.tables import HAS_FIELDS, HAS_RUN, journal

row = journal.c


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


async def count_actions(connection: AsyncConnection, runs: Collection[str]) -> dict[str, dict[str, int]]:
    """The number of entries by action, by run."""
    counts: dict[str, dict[str, int]] = {}
    statement = (
        select(row.run, row.action, func.count())
        .where(HAS_RUN, row.run.in_(sorted(runs)))
        .group_by(row.run, row.action)
    )
    for run, action, number in await connection.execute(statement):
        counts.setdefault(run, {})[action] = number
    return counts


async def list_later(
    connection: AsyncConnection, entity: str, keys: Sequence[str], *, after: int
) -> Mapping[str, list[JournalRecord]]:
    """The entries with fields of these entities behind the one with the ID `after`, oldest first, by key."""
    found: dict[str, list[Any]] = {}
    statement = select(journal).where(row.entity == entity, row.id > after, HAS_FIELDS)
    for item in await select_in(connection, statement, row.key, keys):
        found.setdefault(item.key, []).append(item)
    return {key: [build_record(item) for item in sorted(some, key=lambda item: item.id)] for key, some in found.items()}
