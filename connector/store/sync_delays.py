"""How long changes took to reach the other side, counted by org, slot of ten minutes, direction, kind and bucket.

They are written sorted, and just before the commit of the transaction that records the outcome, behind the outboxes:
whoever holds one of these rows waits for nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import Executable, case, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.hourly_counts import DAY, HOUR
from connector.model.sync_delay import DelayBucket, Delays, Direction, slot_of, summarize
from connector.store.budget_tables import sync_delays
from connector.store.sql import Row, insert_into
from connector.store.unit_of_work import UnitOfWork

KEPT = timedelta(days=2)


def add(uow: UnitOfWork, org_id: str, arrived: Iterable[DelayBucket]) -> None:
    """Count these changes, which arrived now: just before the commit."""
    rows = [
        {
            "org_id": org_id,
            "slot": slot_of(uow.now),
            "direction": found.direction.value,
            "kind": found.kind,
            "bucket": found.bucket,
            "changes": number,
        }
        for found, number in sorted(Counter(arrived).items())
    ]
    if rows:
        uow.finally_write(lambda: _write(uow, rows))


async def _write(uow: UnitOfWork, rows: Sequence[Row]) -> None:
    await uow.connection.execute(_add(uow.connection.dialect.name), rows)


@lru_cache
def _add(dialect: str) -> Executable:
    statement = insert_into(sync_delays, dialect)
    return statement.on_conflict_do_update(
        index_elements=["org_id", "slot", "direction", "kind", "bucket"],
        set_={"changes": sync_delays.c.changes + statement.excluded.changes},
    )


async def delete_old(uow: UnitOfWork) -> None:
    """Delete what nobody needs any more."""
    await uow.connection.execute(delete(sync_delays).where(sync_delays.c.slot < uow.now - KEPT))


async def load(
    connection: AsyncConnection, org_id: str, now: datetime
) -> Mapping[tuple[Direction, str], tuple[Delays, Delays]]:
    """The delays of the last hour and of the last 24, by direction and kind; the last hour begins with a slot."""
    row = sync_delays.c
    of_hour = func.sum(case((row.slot >= slot_of(now) - HOUR, row.changes), else_=0))
    statement = (
        select(row.direction, row.kind, row.bucket, of_hour, func.sum(row.changes))
        .where(row.org_id == org_id, row.slot > now - DAY, row.slot <= now)
        .group_by(row.direction, row.kind, row.bucket)
    )
    found: dict[tuple[Direction, str], tuple[dict[int, int], dict[int, int]]] = {}
    for direction, kind, bucket, hour, day in await connection.execute(statement):
        hours, days = found.setdefault((Direction(direction), kind), ({}, {}))
        hours[bucket], days[bucket] = int(hour), int(day)
    return {key: (summarize(hours), summarize(days)) for key, (hours, days) in found.items()}
