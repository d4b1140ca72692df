"""What people changed of the schedules of jobs: when they run, whether they are paused. The journal has each change."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.job_run import JobSchedule, JobTrigger, PausedJob, version_of_change
from connector.store import journal
from connector.store.job_tables import job_schedules
from connector.store.journal import JournalEntry
from connector.store.sql import upsert
from connector.store.unit_of_work import UnitOfWork

_CHANGED = select(job_schedules)


async def load(connection: AsyncConnection) -> dict[str, JobSchedule]:
    """What was changed, by job."""
    return {row.job: _build(row) for row in await connection.execute(_CHANGED)}


_PAUSED = select(job_schedules).where(job_schedules.c.paused).order_by(job_schedules.c.job)


async def list_paused(connection: AsyncConnection) -> list[PausedJob]:
    """The jobs that are paused, by name; also those of other orgs, and those that the settings turn off."""
    rows = await connection.execute(_PAUSED)
    return [PausedJob(name=row.job, since=row.changed_at, by=row.changed_by) for row in rows]


async def set_trigger(
    uow: UnitOfWork, job: str, trigger: JobTrigger | None, *, actor: str, version: int | None = None
) -> bool:
    """Run the job at other times; None: at those of the settings. False if it has not the `version` that is given."""
    stored = await _lock(uow, job)
    if version is not None and version != version_of_change(None if stored is None else stored.changed_at):
        return False
    await _put(uow, job, trigger, paused=stored is not None and stored.paused, actor=actor)
    detail = {"trigger": "of the settings" if trigger is None else str(trigger)}
    await journal.write(uow, [JournalEntry(entity="job", key=job, action="rescheduled", detail=detail, actor=actor)])
    return True


async def set_paused(uow: UnitOfWork, job: str, paused: bool, *, actor: str) -> bool:
    """Pause the job, or let it go on. False if it is so already."""
    stored = await _lock(uow, job)
    if (stored is not None and stored.paused) == paused:
        return False
    await _put(uow, job, None if stored is None else stored.trigger, paused=paused, actor=actor)
    action = "paused" if paused else "resumed"
    await journal.write(uow, [JournalEntry(entity="job", key=job, action=action, detail={}, actor=actor)])
    return True


async def _lock(uow: UnitOfWork, job: str) -> JobSchedule | None:
    statement = select(job_schedules).where(job_schedules.c.job == job).with_for_update()
    row = (await uow.connection.execute(statement)).first()
    return None if row is None else _build(row)


async def _put(uow: UnitOfWork, job: str, trigger: JobTrigger | None, *, paused: bool, actor: str) -> None:
    row = {
        "job": job,
        "seconds": None if trigger is None else trigger.seconds,
        "cron": None if trigger is None else trigger.cron,
        "paused": paused,
        "changed_by": actor,
        "changed_at": uow.now,
    }
    await upsert(uow.connection, job_schedules, [row])


def _build(row: Any) -> JobSchedule:
    has_trigger = row.seconds is not None or row.cron is not None
    return JobSchedule(
        job=row.job,
        trigger=JobTrigger(seconds=row.seconds, cron=row.cron) if has_trigger else None,
        paused=row.paused,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
    )
