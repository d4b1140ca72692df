"""When changes that did not arrive are sent again: their pauses, and what ends them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import bindparam, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import MAX_UNANSWERED_SENDS, Change, ChangeState
from connector.store.tables import outbox
from connector.store.unit_of_work import Lane, UnitOfWork

LONGEST_PAUSE = timedelta(seconds=15)
"""Before a change is sent again by itself that was sent `REPEATED` times without a recorded answer."""

_LAST_LANE = 30_000
_IS_DUE = outbox.c.state == ChangeState.DUE.value


def pause_after(begun: int) -> timedelta:
    """After so many sends without a recorded answer: a second, doubling."""
    return min(timedelta(seconds=2 ** min(begun - MAX_UNANSWERED_SENDS, 10)), LONGEST_PAUSE)


async def answered(uow: UnitOfWork, changes: Sequence[Change]) -> None:
    """An answer for these was recorded, whatever it was: the process did not end over them. The caller holds them."""
    statement = (
        update(outbox)
        .where(outbox.c.entity == bindparam("the_entity"), outbox.c.key == bindparam("the_key"), outbox.c.begun > 0)
        .values(begun=0)
    )
    keys = sorted({(change.entity.value, change.key) for change in changes})
    if keys:
        await uow.connection.execute(statement, [{"the_entity": entity, "the_key": key} for entity, key in keys])


async def put_behind(uow: UnitOfWork, changes: Sequence[Change], *, tried: bool) -> None:
    """These may be what the org refuses: all others go first from now on, and those that were not `tried` themselves
    before those that were."""
    last = case((outbox.c.lane < Lane.DOUBTED, Lane.DOUBTED.value), else_=outbox.c.lane)
    statement = (
        update(outbox)
        .where(
            outbox.c.entity == bindparam("the_entity"),
            outbox.c.key == bindparam("the_key"),
            outbox.c.version == bindparam("the_version"),
            outbox.c.lane < _LAST_LANE,
        )
        .values(lane=last + int(tried))
    )
    marks = sorted({(change.entity.value, change.key, change.version) for change in changes})
    if marks:
        names = ("the_entity", "the_key", "the_version")
        await uow.connection.execute(statement, [dict(zip(names, mark, strict=True)) for mark in marks])


async def hasten(uow: UnitOfWork) -> int:
    """Whatever waits for its next attempt is due now. How many there were."""
    statement = update(outbox).where(_IS_DUE, outbox.c.due_at > uow.now).values(due_at=uow.now)
    return (await uow.connection.execute(statement)).rowcount


async def put_off(connection: AsyncConnection, limit: int = 3) -> list[tuple[str, int]]:
    """Why changes wait for another attempt, the most frequent reasons first, and how many wait for each."""
    number = func.count().label("number")
    rows = await connection.execute(
        select(outbox.c.error, number)
        .where(_IS_DUE, outbox.c.error.is_not(None))
        .group_by(outbox.c.error)
        .order_by(number.desc(), outbox.c.error)
        .limit(limit)
    )
    return [(error, count) for error, count in rows]


async def oldest(connection: AsyncConnection) -> datetime | None:
    """Since when the longest waiting change has been unsent: how far the org lags behind."""
    moment: datetime | None = (await connection.execute(select(func.min(outbox.c.captured_at)).where(_IS_DUE))).scalar()
    return moment
