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
    """`yesterday` and `today` are when these days began. What several orgs refused on a day counts once."""
    entity, moment = outbox.c.entity + " " + outbox.c.key, outbox.c.refused_at
    of_yesterday = and_(moment >= yesterday, moment < today)
    # Not grouped by entity and key: SQLite would read the whole outbox in that order.
    statement = select(
        func.count(case((moment >= today, entity)).distinct()),
        func.count(case((of_yesterday, entity)).distinct()),
        func.count(case((moment < yesterday, entity)).distinct()),
    ).where(outbox.c.state.in_(_REFUSED), is_in_scope(connection, outbox.c.org))
    number, before, earlier = (await connection.execute(statement)).one()
    return RefusedDays(today=number, yesterday=before, earlier=earlier)
