"""How much waits to be sent, and for how long: by lane of the outbox, and by stage of the order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, EntityKind
from connector.model.lane import Lane
from connector.model.stage import Stage
from connector.store.scope import org_of
from connector.store.tables import orders, outbox

MOST_LOOKED_AT = 1000
"""How many waiting orders of each lane are looked at for the ages by stage."""
_LANES = (Lane.URGENT, Lane.STATUS, Lane.NEW, Lane.PROFILE)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueAge:
    """Changes of one kind in one lane that are not sent yet; the oldest was captured at `oldest`."""

    entity: str
    lane: str
    count: int
    oldest: datetime


_BY_LANE = (outbox.c.org, outbox.c.entity, outbox.c.lane)
_AGES = (
    select(*_BY_LANE, func.count(), func.min(outbox.c.captured_at))
    .where(outbox.c.state == ChangeState.DUE.value)
    .group_by(*_BY_LANE)
)


async def list_queue_ages(connection: AsyncConnection) -> list[QueueAge]:
    """What is due or postponed, by entity and lane. Lanes behind `DEPRIORITIZED` are one. Grouped as the index
    `outbox_claim` is sorted, so that the database sorts nothing."""
    found: dict[tuple[str, str], QueueAge] = {}
    for _, entity, number, count, oldest in await connection.execute(_AGES):
        name = Lane(min(number, Lane.DEPRIORITIZED)).name.lower()
        before = found.get((entity, name))
        found[entity, name] = QueueAge(
            entity=entity,
            lane=name,
            count=count + (0 if before is None else before.count),
            oldest=oldest if before is None else min(oldest, before.oldest),
        )
    return [found[key] for key in sorted(found)]


async def list_oldest_by_stage(connection: AsyncConnection) -> dict[Stage, datetime]:
    """Since when the oldest change of an order waits, by the stage that the order has now; without backfills. Of each
    lane the `MOST_LOOKED_AT` oldest are looked at: a stage of which none is among them is left out."""
    rows = await connection.execute(_oldest_by_stage(), {"the_org": org_of(connection)})
    return {Stage(stage): since for stage, since in rows}


@cache
def _oldest_by_stage() -> Select[Any]:
    row = outbox.c
    waiting = (
        row.state == ChangeState.DUE.value, row.org == bindparam("the_org"), row.entity == EntityKind.ORDER.value
    )  # fmt: skip
    by_lane = []
    for in_lane in (*(row.lane == lane.value for lane in _LANES), row.lane >= Lane.DEPRIORITIZED.value):
        oldest = select(row.key, row.captured_at).where(*waiting, in_lane)
        oldest = oldest.order_by(row.lane, row.captured_at).limit(MOST_LOOKED_AT)
        by_lane.append(select(oldest.subquery()))
    found = union_all(*by_lane).subquery()
    return (
        select(orders.c.stage, func.min(found.c.captured_at))
        .join_from(found, orders, orders.c.number == found.c.key)
        .group_by(orders.c.stage)
    )
