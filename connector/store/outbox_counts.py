"""How many changes wait in the outbox, and when the next one is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Select, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, EntityKind
from connector.model.lane import Lane, call_lane
from connector.store.outbox_filters import IS_DUE, Selection, execute_selected, is_in_lanes
from connector.store.tables import outbox

_STATES = (outbox.c.state, outbox.c.org, outbox.c.entity)
_COUNTS = (
    select(*_STATES, func.count())
    .where(outbox.c.state.in_([state.value for state in ChangeState]))  # so that SQLite seeks, where an org is chosen
    .group_by(*_STATES)
)
_IS_DUE_NOW = (IS_DUE, outbox.c.due_at <= bindparam("the_now"))
_DUE_COUNTS = select(outbox.c.entity, func.count()).where(*_IS_DUE_NOW).group_by(outbox.c.entity)
_PARTITION = (outbox.c.slot % bindparam("the_of", type_=Integer)).label("partition")
_LANES = (func.min(outbox.c.lane), func.max(outbox.c.lane))
_DUE_BY_PARTITION = (
    select(outbox.c.entity, _PARTITION, func.count(), *_LANES).where(*_IS_DUE_NOW).group_by(outbox.c.entity, _PARTITION)
)
_NEXT_DUE = select(outbox.c.due_at).where(IS_DUE).order_by(outbox.c.due_at).limit(1)
_NEXT_DUE_OF_PARTITIONS = _NEXT_DUE.where(_PARTITION.in_(bindparam("the_partitions", expanding=True)))


async def counts(
    connection: AsyncConnection, only: Selection | None = None
) -> dict[EntityKind, dict[ChangeState, int]]:
    """Unsent changes by entity and state, including zeros. Grouped as the index `outbox_claim` is sorted: however many
    wait, the database reads that alone, and sorts nothing."""
    numbers: Counter[tuple[str, str]] = Counter()
    for state, _, entity, number in await execute_selected(connection, _COUNTS, only):
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
    rows = await execute_selected(connection, _DUE_COUNTS, only, lowest, the_now=now)
    return {EntityKind(entity): number for entity, number in rows}


async def count_below(
    connection: AsyncConnection, lowest: Lane | None, only: Selection | None = None
) -> dict[Lane, int]:
    """The number of unsent changes in each lane below `lowest`, without zeros; in every lane if that is None."""
    lanes: dict[Lane, int] = {}
    if lowest is not None and lowest >= Lane.BACKFILL:
        return lanes
    for number, count in await execute_selected(connection, _count_below(lowest), only):
        lanes[call_lane(number)] = lanes.get(call_lane(number), 0) + count
    return lanes


@lru_cache(maxsize=len(Lane) + 1)
def _count_below(lowest: Lane | None) -> Select[Any]:
    statement = select(outbox.c.lane, func.count()).where(IS_DUE, ~is_in_lanes(lowest))
    return statement.group_by(outbox.c.lane).order_by(outbox.c.lane)


@dataclass(frozen=True, kw_only=True, slots=True)
class DueChanges:
    """The changes that are due: their `counts` by kind and partition, and the kinds of those that are `deprioritized`
    and of the `others`."""

    counts: dict[EntityKind, dict[int, int]]
    others: frozenset[EntityKind]
    deprioritized: frozenset[EntityKind]


async def due_by_partition(
    connection: AsyncConnection,
    now: datetime,
    of: int,
    only: Selection | None = None,
    *,
    lowest: Lane | None = Lane.BACKFILL,
) -> DueChanges:
    """The changes that are due now in the lanes down to `lowest`, by entity and partition (of `of` in all)."""
    rows = (await execute_selected(connection, _DUE_BY_PARTITION, only, lowest, the_now=now, the_of=of)).all()
    counts: dict[EntityKind, dict[int, int]] = {}
    for entity, number, count, _, _ in rows:
        counts.setdefault(EntityKind(entity), {})[number] = count
    return DueChanges(
        counts=counts,
        others=frozenset(EntityKind(entity) for entity, _, _, first, _ in rows if first < Lane.DEPRIORITIZED),
        deprioritized=frozenset(EntityKind(entity) for entity, _, _, _, last in rows if last >= Lane.DEPRIORITIZED),
    )


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
    if partitions is None or len(partitions) >= of:
        return (await execute_selected(connection, _NEXT_DUE, only, lowest)).scalar()
    values = {"the_of": of, "the_partitions": sorted(partitions)}
    return (await execute_selected(connection, _NEXT_DUE_OF_PARTITIONS, only, lowest, **values)).scalar()
