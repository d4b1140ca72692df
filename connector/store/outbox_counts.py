"""How many changes wait in the outbox, and when the next one is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, EntityKind
from connector.model.lane import Lane, call_lane
from connector.store.outbox_filters import IS_DUE, Selection, is_in_lanes, matches_selection
from connector.store.scope import is_in_scope
from connector.store.tables import outbox


async def counts(
    connection: AsyncConnection, only: Selection | None = None
) -> dict[EntityKind, dict[ChangeState, int]]:
    """Unsent changes by entity and state, including zeros. Grouped as the index `outbox_claim` is sorted: however many
    wait, the database reads that alone, and sorts nothing."""
    columns = (outbox.c.state, outbox.c.org, outbox.c.entity)
    every = outbox.c.state.in_([state.value for state in ChangeState])  # so that SQLite seeks, where an org is chosen
    statement = select(*columns, func.count()).where(every).group_by(*columns)
    numbers: Counter[tuple[str, str]] = Counter()
    chosen = statement.where(is_in_scope(connection, outbox.c.org), matches_selection(only))
    for state, _, entity, number in await connection.execute(chosen):
        numbers[entity, state] += number
    return {entity: {state: numbers[entity.value, state.value] for state in ChangeState} for entity in EntityKind}


async def list_orgs(connection: AsyncConnection) -> list[str]:
    """The names of the orgs that have unsent changes, also those that the settings do not name."""
    statement = select(outbox.c.org).group_by(outbox.c.state, outbox.c.org)  # as an index is sorted
    return sorted(set((await connection.execute(statement)).scalars()))


async def due_counts(
    connection: AsyncConnection, now: datetime, only: Selection | None = None, *, lowest: Lane | None = Lane.BACKFILL
) -> dict[EntityKind, int]:
    """The number of changes that are due now in the lanes down to `lowest`, by entity, without zeros."""
    rows = await connection.execute(
        select(outbox.c.entity, func.count())
        .where(IS_DUE, is_in_scope(connection, outbox.c.org), outbox.c.due_at <= now)
        .where(matches_selection(only), is_in_lanes(lowest))
        .group_by(outbox.c.entity)
    )
    return {EntityKind(entity): number for entity, number in rows}


async def count_below(
    connection: AsyncConnection, lowest: Lane | None, only: Selection | None = None
) -> dict[Lane, int]:
    """The number of unsent changes in each lane below `lowest`, without zeros; in every lane if that is None."""
    statement = select(outbox.c.lane, func.count()).where(IS_DUE, matches_selection(only), ~is_in_lanes(lowest))
    statement = statement.where(is_in_scope(connection, outbox.c.org))
    lanes: dict[Lane, int] = {}
    for number, count in await connection.execute(statement.group_by(outbox.c.lane).order_by(outbox.c.lane)):
        lanes[call_lane(number)] = lanes.get(call_lane(number), 0) + count
    return lanes


async def due_by_partition(
    connection: AsyncConnection,
    now: datetime,
    of: int,
    only: Selection | None = None,
    *,
    lowest: Lane | None = Lane.BACKFILL,
) -> dict[EntityKind, dict[int, int]]:
    """The number of changes that are due now in the lanes down to `lowest`, by entity and partition (of `of` in
    all)."""
    partition = (outbox.c.slot % of).label("partition")
    statement = select(outbox.c.entity, partition, func.count())
    statement = statement.where(IS_DUE, is_in_scope(connection, outbox.c.org), outbox.c.due_at <= now)
    statement = statement.where(matches_selection(only), is_in_lanes(lowest))
    counts_by_kind: dict[EntityKind, dict[int, int]] = {}
    for entity, number, count in await connection.execute(statement.group_by(outbox.c.entity, partition)):
        counts_by_kind.setdefault(EntityKind(entity), {})[number] = count
    return counts_by_kind


async def next_due(
    connection: AsyncConnection,
    *,
    partitions: Set[int] | None = None,
    of: int = 1,
    only: Selection | None = None,
    lowest: Lane | None = Lane.BACKFILL,
) -> datetime | None:
    """When the next change is due (in the past if one is due now); None if nothing is left to send in the lanes down
    to `lowest`."""
    chosen = (IS_DUE, is_in_scope(connection, outbox.c.org), matches_selection(only), is_in_lanes(lowest))
    statement = select(outbox.c.due_at).where(*chosen).order_by(outbox.c.due_at).limit(1)
    if partitions is not None and len(partitions) < of:
        statement = statement.where((outbox.c.slot % of).in_(sorted(partitions)))
    return (await connection.execute(statement)).scalar()
