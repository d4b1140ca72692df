"""A mark that differs whenever something has changed that people look at."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState
from connector.store.job_tables import job_runs
from connector.store.tables import journal, outbox


async def load_change_mark(connection: AsyncConnection) -> tuple[object, ...]:
    """Of the journal, the runs of jobs, and what is to be sent; every change of an entity is one of these. By index."""
    due = outbox.c.state == ChangeState.DUE.value
    statement = select(
        select(func.max(journal.c.id)).scalar_subquery(),
        select(func.max(job_runs.c.id)).scalar_subquery(),
        select(func.count()).select_from(outbox).where(due).scalar_subquery(),
        select(func.max(outbox.c.due_at)).where(due).scalar_subquery(),
    )
    return tuple((await connection.execute(statement)).one())
