"""The schedule of repeated sends: their pauses, and their priority."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Integer, bindparam, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import MAX_UNANSWERED_SENDS, Change, ChangeState
from connector.model.lane import Lane
from connector.store.scope import is_in_scope, within_scope
from connector.store.tables import outbox
from connector.store.unit_of_work import UnitOfWork

LONGEST_PAUSE = timedelta(seconds=15)
"""The longest pause for a change that was sent `MAX_UNANSWERED_SENDS` times or more without a recorded answer."""

_LAST_LANE = 30_000
_IS_DUE = outbox.c.state == ChangeState.DUE.value
_RESET = (
    update(outbox)
    .where(outbox.c.entity == bindparam("the_entity"), outbox.c.key == bindparam("the_key"), outbox.c.begun > 0)
    .values(begun=0)
)
_LANE_OF_DEPRIORITIZED = case((outbox.c.lane < Lane.DEPRIORITIZED, Lane.DEPRIORITIZED.value), else_=outbox.c.lane)
_DEPRIORITIZE = (
    update(outbox)
    .where(
        outbox.c.entity == bindparam("the_entity"),
        outbox.c.key == bindparam("the_key"),
        outbox.c.version == bindparam("the_version"),
        outbox.c.lane < _LAST_LANE,
    )
    .values(lane=_LANE_OF_DEPRIORITIZED + bindparam("the_step", type_=Integer))
)
_IS_POSTPONED = (_IS_DUE, outbox.c.due_at > bindparam("the_now"))
_POSTPONED = select(outbox.c.key).where(*_IS_POSTPONED).limit(1)
_MAKE_DUE = update(outbox).where(*_IS_POSTPONED).values(due_at=bindparam("the_now"))
_OLDEST_CAPTURE = select(func.min(outbox.c.captured_at)).where(_IS_DUE)


def pause_after(unanswered_sends: int) -> timedelta:
    """Return the pause after so many sends without a recorded answer: one second, then doubling."""
    return min(timedelta(seconds=2 ** min(unanswered_sends - MAX_UNANSWERED_SENDS, 10)), LONGEST_PAUSE)


async def reset_unanswered_sends(uow: UnitOfWork, changes: Sequence[Change]) -> None:
    """Record that these changes were answered, with any answer: they did not end the process. The caller has locked
    them."""
    keys = sorted({(change.entity.value, change.key) for change in changes})
    if keys:
        statement = within_scope(uow.connection, _RESET, outbox.c.org)
        await uow.connection.execute(statement, [{"the_entity": entity, "the_key": key} for entity, key in keys])


async def deprioritize(uow: UnitOfWork, changes: Sequence[Change], *, was_sent: bool) -> None:
    """Send all other changes before these, which may be the cause of a refused call. Changes that were not part of the
    call (`was_sent` False) are sent before those that were."""
    marks = sorted({(change.entity.value, change.key, change.version) for change in changes})
    if marks:
        statement = within_scope(uow.connection, _DEPRIORITIZE, outbox.c.org)
        names = ("the_entity", "the_key", "the_version", "the_step")
        rows = [dict(zip(names, (*mark, int(was_sent)), strict=True)) for mark in marks]
        await uow.connection.execute(statement, rows)


async def has_postponed(connection: AsyncConnection, now: datetime) -> bool:
    """Return whether a change is due only later."""
    statement = within_scope(connection, _POSTPONED, outbox.c.org)
    return (await connection.execute(statement, {"the_now": now})).first() is not None


async def make_all_due(uow: UnitOfWork) -> int:
    """Make all postponed changes due now, and return their number."""
    statement = within_scope(uow.connection, _MAKE_DUE, outbox.c.org)
    return (await uow.connection.execute(statement, {"the_now": uow.now})).rowcount


async def count_postponed_by_error(connection: AsyncConnection, limit: int = 3) -> list[tuple[str, int]]:
    """Return the errors of postponed changes with their numbers, most frequent first."""
    number = func.count().label("number")
    rows = await connection.execute(
        select(outbox.c.error, number)
        .where(_IS_DUE, is_in_scope(connection, outbox.c.org), outbox.c.error.is_not(None))
        .group_by(outbox.c.error)
        .order_by(number.desc(), outbox.c.error)
        .limit(limit)
    )
    return [(error, count) for error, count in rows]


async def oldest_capture(connection: AsyncConnection) -> datetime | None:
    """Return when the oldest due change was captured, which shows how far the org lags behind."""
    statement = within_scope(connection, _OLDEST_CAPTURE, outbox.c.org)
    moment: datetime | None = (await connection.execute(statement)).scalar()
    return moment
