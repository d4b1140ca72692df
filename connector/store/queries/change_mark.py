"""A mark that differs whenever something has changed that people look at."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState
from connector.store.inbound_tables import reconcile_runs
from connector.store.job_tables import job_runs, resyncs
from connector.store.tables import journal, outbox

MOST_DUE = 1000
"""Due changes that are looked at. Where more are due, the journal moves all the time, because they are sent."""

MOST_RESYNCS = 20
"""Resyncs whose progress is looked at, the latest ones."""


async def load_change_mark(connection: AsyncConnection) -> str:
    """Of the journal, the runs of jobs, how far resyncs and the latest comparison are, and what is to be sent; every
    change of an entity is one of these. By index, and never more than some rows."""
    row = tuple((await connection.execute(_mark())).one())
    return blake2b(repr(row).encode(), digest_size=8).hexdigest()


@cache
def _mark() -> Select[Any]:
    due = (
        select(outbox.c.due_at)
        .where(outbox.c.state == ChangeState.DUE.value)
        .order_by(outbox.c.state, outbox.c.org, outbox.c.due_at)
        .limit(MOST_DUE)
        .subquery()
    )
    latest = select(resyncs).order_by(resyncs.c.id.desc()).limit(MOST_RESYNCS).subquery()
    progress = (
        func.sum(latest.c.done),
        func.max(latest.c.ended_at),
        func.max(latest.c.position),
        func.max(latest.c.error),
    )
    return select(
        *(select(part).scalar_subquery() for part in progress),
        select(func.max(journal.c.id)).scalar_subquery(),
        select(func.max(job_runs.c.id)).scalar_subquery(),
        select(func.max(job_runs.c.ended_at)).scalar_subquery(),
        select(reconcile_runs.c.compared).order_by(reconcile_runs.c.id.desc()).limit(1).scalar_subquery(),
        func.count(),
        func.max(due.c.due_at),
    ).select_from(due)
