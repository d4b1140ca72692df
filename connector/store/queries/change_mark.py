"""A mark that differs whenever something has changed that people look at."""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState
from connector.store.job_tables import job_runs
from connector.store.tables import journal, outbox

MOST_DUE = 1000
"""Due changes that are looked at. Where more are due, the journal moves all the time, because they are sent."""


async def load_change_mark(connection: AsyncConnection) -> str:
    """Of the journal, the runs of jobs, and what is to be sent; every change of an entity is one of these. By index,
    and never more than some rows."""
    due = (
        select(outbox.c.due_at)
        .where(outbox.c.state == ChangeState.DUE.value)
        .order_by(outbox.c.state, outbox.c.org, outbox.c.due_at)
        .limit(MOST_DUE)
        .subquery()
    )
    statement = select(
        select(func.max(journal.c.id)).scalar_subquery(),
        select(func.max(job_runs.c.id)).scalar_subquery(),
        func.count(),
        func.max(due.c.due_at),
    ).select_from(due)
    row = tuple((await connection.execute(statement)).one())
    return blake2b(repr(row).encode(), digest_size=8).hexdigest()
