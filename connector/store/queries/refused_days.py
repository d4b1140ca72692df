"""What was refused and waits, by the day on which it was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState
from connector.store.scope import is_in_scope
from connector.store.tables import outbox

_REFUSED = (ChangeState.DEAD.value, ChangeState.BLOCKED.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedDays:
    """How many entities were refused, as a resync of refused ones chooses them: today, yesterday, before that."""

    today: int
    yesterday: int
    earlier: int

    @property
    def total(self) -> int:
        return self.today + self.yesterday + self.earlier


async def count_refused_days(connection: AsyncConnection, yesterday: datetime, today: datetime) -> RefusedDays:
    """`yesterday` and `today` are when these days began. What several orgs refused counts once, by the latest time."""
    latest = func.max(outbox.c.refused_at).label("at")
    chosen = (outbox.c.state.in_(_REFUSED), is_in_scope(connection, outbox.c.org))
    refused = select(latest).where(*chosen).group_by(outbox.c.entity, outbox.c.key).subquery()
    moment = refused.c["at"]
    statement = select(
        func.sum(case((moment >= today, 1), else_=0)),
        func.sum(case((and_(moment >= yesterday, moment < today), 1), else_=0)),
        func.count(),
    ).select_from(refused)
    of_today, of_yesterday, total = (await connection.execute(statement)).one()
    number, before = int(of_today or 0), int(of_yesterday or 0)
    return RefusedDays(today=number, yesterday=before, earlier=total - number - before)
