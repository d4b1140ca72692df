"""What was refused and waits, by the day on which it was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState
from connector.store.scope import within_scope
from connector.store.tables import outbox
from connector.store.types import Instant

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
    statement = within_scope(connection, _by_day(), outbox.c.org)
    values = {"the_day_before": yesterday, "the_day": today}
    number, before, earlier = (await connection.execute(statement, values)).one()
    return RefusedDays(today=number, yesterday=before, earlier=earlier)


@cache
def _by_day() -> Select[Any]:
    entity, moment = outbox.c.entity + " " + outbox.c.key, outbox.c.refused_at
    yesterday, today = bindparam("the_day_before", type_=Instant), bindparam("the_day", type_=Instant)
    # Not grouped by entity and key: SQLite would read the whole outbox in that order.
    counts: list[Any] = [
        func.count(case((moment >= today, entity)).distinct()),
        func.count(case((and_(moment >= yesterday, moment < today), entity)).distinct()),
        func.count(case((moment < yesterday, entity)).distinct()),
    ]
    return select(*counts).where(outbox.c.state.in_(_REFUSED))
