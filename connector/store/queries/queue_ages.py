"""How much waits to be sent, and for how long: by lane of the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState
from connector.model.lane import Lane
from connector.store.tables import outbox


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueAge:
    """Changes of one kind in one lane that are not sent yet; the oldest was captured at `oldest`."""

    entity: str
    lane: str
    count: int
    oldest: datetime


async def list_queue_ages(connection: AsyncConnection) -> list[QueueAge]:
    """What is due or postponed, by entity and lane. Lanes behind `DEPRIORITIZED` are one. Grouped as the index
    `outbox_claim` is sorted, so that the database sorts nothing."""
    columns = (outbox.c.org, outbox.c.entity, outbox.c.lane)
    statement = (
        select(*columns, func.count(), func.min(outbox.c.captured_at))
        .where(outbox.c.state == ChangeState.DUE.value)
        .group_by(*columns)
    )
    found: dict[tuple[str, str], QueueAge] = {}
    for _, entity, number, count, oldest in await connection.execute(statement):
        name = Lane(min(number, Lane.DEPRIORITIZED)).name.lower()
        before = found.get((entity, name))
        found[entity, name] = QueueAge(
            entity=entity,
            lane=name,
            count=count + (0 if before is None else before.count),
            oldest=oldest if before is None else min(oldest, before.oldest),
        )
    return [found[key] for key in sorted(found)]
