"""The outage of the org: its reason, its start, and the time of the next attempt.

While it lasts there is one row, shared by all processes on this database: one process makes the attempt for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.scope import prefixed
from connector.store.sql import upsert
from connector.store.tables import outages
from connector.store.unit_of_work import UnitOfWork

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
LONGEST_RETRY_AFTER = 3600.0
"""The longest pause in seconds, even if the org requests a longer one."""

_ORG = "org"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """An outage. `code`, `message`, `fix` and `detail` (the org's message about a record) are those of the latest
    attempt; `attempts` attempts have failed since `since`."""

    code: str
    message: str
    fix: str
    detail: str
    since: datetime
    attempts: int
    next_attempt_at: datetime


_CURRENT = select(outages).where(outages.c.name == bindparam("the_name"))


async def get_current(connection: AsyncConnection) -> Outage | None:
    """Return the current outage; None if there is none."""
    row = (await connection.execute(_CURRENT, {"the_name": prefixed(connection, _ORG)})).first()
    if row is None:
        return None
    return Outage(
        code=row.code,
        message=row.message,
        fix=row.fix,
        detail=row.detail,
        since=row.since,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
    )


async def take_turn(uow: UnitOfWork, outage: Outage, *, jitter: float) -> bool:
    """Return True if an attempt is due and this process is to make it; other processes then wait for its result."""
    until = uow.now + timedelta(seconds=pause(outage.attempts, jitter=jitter))
    statement = (
        update(outages)
        .where(outages.c.name == prefixed(uow.connection, _ORG), outages.c.next_attempt_at <= uow.now)
        .values(next_attempt_at=until)
    )
    return (await uow.connection.execute(statement)).rowcount == 1


async def record_failure(
    uow: UnitOfWork,
    *,
    code: str,
    message: str,
    fix: str,
    jitter: float,
    detail: str = "",
    retry_after: float | None = None,
) -> Outage:
    """Record a failed attempt; `retry_after` is the pause that the org requests, in seconds."""
    earlier = await get_current(uow.connection)
    attempts = 1 if earlier is None else earlier.attempts + 1
    seconds = max(pause(attempts, jitter=jitter), min(retry_after or 0.0, LONGEST_RETRY_AFTER))
    outage = Outage(
        code=code,
        message=message,
        fix=fix,
        detail=detail,
        since=uow.now if earlier is None else earlier.since,
        attempts=attempts,
        next_attempt_at=uow.now + timedelta(seconds=seconds),
    )
    row = {name: getattr(outage, name) for name in Outage.__dataclass_fields__}
    await upsert(uow.connection, outages, [{"name": prefixed(uow.connection, _ORG), **row}])
    return outage


_END = delete(outages).where(outages.c.name == bindparam("the_name"))


async def end(uow: UnitOfWork) -> bool:
    """End the outage, because the org accepts requests again. False if there was none."""
    return (await uow.connection.execute(_END, {"the_name": prefixed(uow.connection, _ORG)})).rowcount == 1


def pause(attempts: int, *, jitter: float) -> float:
    """Return the seconds until the next attempt: doubling, and reduced at random by up to a quarter."""
    ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 30))
    return ceiling * (1 - jitter / 4)
