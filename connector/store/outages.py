"""What keeps the org from taking anything, since when, and when somebody looks again.

There is one row while it lasts. It is shared by all processes on this database: whoever takes its turn looks for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.sql import upsert
from connector.store.tables import outages
from connector.store.unit_of_work import UnitOfWork

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
LONGEST_ASKED = 3600.0
"""Seconds, also if the org asks us to stay away for longer."""

_ORG = "org"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """`code`, `message`, `fix` and `detail` (the org's words about a row) as of the latest attempt; `attempts` have
    failed since `since`."""

    code: str
    message: str
    fix: str
    detail: str
    since: datetime
    attempts: int
    next_attempt_at: datetime


async def current(connection: AsyncConnection) -> Outage | None:
    """None while the org takes what it is sent, as far as we know."""
    row = (await connection.execute(select(outages).where(outages.c.name == _ORG))).first()
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
    """Whether it is time for an attempt, and ours to make: whoever asks next is told to wait for its result."""
    until = uow.now + timedelta(seconds=pause(outage.attempts, jitter=jitter))
    statement = (
        update(outages)
        .where(outages.c.name == _ORG, outages.c.next_attempt_at <= uow.now)
        .values(next_attempt_at=until)
    )
    return (await uow.connection.execute(statement)).rowcount == 1


async def failed(
    uow: UnitOfWork,
    *,
    code: str,
    message: str,
    fix: str,
    jitter: float,
    detail: str = "",
    asked: float | None = None,
) -> Outage:
    """An attempt came to nothing; `asked` are the seconds after which the org wants to see us again."""
    before = await current(uow.connection)
    attempts = 1 if before is None else before.attempts + 1
    seconds = max(pause(attempts, jitter=jitter), min(asked or 0.0, LONGEST_ASKED))
    outage = Outage(
        code=code,
        message=message,
        fix=fix,
        detail=detail,
        since=uow.now if before is None else before.since,
        attempts=attempts,
        next_attempt_at=uow.now + timedelta(seconds=seconds),
    )
    row = {name: getattr(outage, name) for name in Outage.__dataclass_fields__}
    await upsert(uow.connection, outages, [{"name": _ORG, **row}])
    return outage


async def over(uow: UnitOfWork) -> bool:
    """The org takes what it is sent; False if it did before."""
    return (await uow.connection.execute(delete(outages).where(outages.c.name == _ORG))).rowcount == 1


def pause(attempts: int, *, jitter: float) -> float:
    """Seconds until the next attempt: doubling, up to a quarter of it taken off by chance so that processes spread."""
    ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 30))
    return ceiling * (1 - jitter / 4)
