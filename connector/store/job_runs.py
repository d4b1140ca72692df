"""Runs of jobs. Several processes may schedule the same jobs on one database.

      (slot is due) -- begin ------> RUNNING --- finish ---> DONE, FAILED
      (a person asks) -> WAITING --- take --> RUNNING
                            ^                    | its process is stopped, or dies: it no longer renews the run
                            +--- restart --- INTERRUPTED

A slot is run once, and a job runs once at a time: two unique indexes say so, whoever comes first. A process that was
frozen past its time records nothing: `finish` and `renew` change only what is still its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.job_run import JobRun, JobState, RunCause
from connector.model.storable_text import storable, storable_values
from connector.store.job_tables import job_runs
from connector.store.sql import Before, insert, is_before
from connector.store.unit_of_work import UnitOfWork

MAX_ATTEMPTS = 5
"""How often an interrupted run is begun anew in a row; then the next slot has to do."""

_RUNNING = job_runs.c.state == JobState.RUNNING.value
_WAITING = job_runs.c.state == JobState.WAITING.value


async def begin(uow: UnitOfWork, job: str, slot: datetime, *, worker: str, ttl: float) -> JobRun | None:
    """Begin the run of a slot. None if another process has begun it, or if the job is still running: then this slot is
    left out."""
    row = _row(uow, job, RunCause.SCHEDULE) | {
        "slot": slot,
        "state": JobState.RUNNING.value,
        "worker": worker,
        "started_at": uow.now,
        "expires_at": uow.now + timedelta(seconds=ttl),
    }
    return await _insert(uow, row)


async def request(uow: UnitOfWork, job: str, *, actor: str) -> JobRun:
    """Ask for a run now. One that waits already is returned: it will do both."""
    made = await _insert(uow, _row(uow, job, RunCause.REQUEST) | {"actor": actor})
    if made is not None:
        return made
    row = (await uow.connection.execute(select(job_runs).where(job_runs.c.job == job, _WAITING))).one()
    return _build(row)


async def list_waiting(connection: AsyncConnection, jobs: Collection[str]) -> list[JobRun]:
    """The waiting runs of these jobs that are not running, the oldest first."""
    statement = (
        select(job_runs).where(_WAITING, job_runs.c.job.in_(sorted(jobs)), ~_is_running()).order_by(job_runs.c.id)
    )
    return [_build(row) for row in await connection.execute(statement)]


async def take_waiting(uow: UnitOfWork, jobs: Collection[str], *, worker: str, ttl: float) -> list[JobRun]:
    """Begin the waiting runs of these jobs, unless the job is running."""
    statement = (
        update(job_runs)
        .where(_WAITING, job_runs.c.job.in_(sorted(jobs)), ~_is_running())
        .values(
            state=JobState.RUNNING.value,
            worker=worker,
            started_at=uow.now,
            expires_at=uow.now + timedelta(seconds=ttl),
        )
        .returning(*job_runs.c)
    )
    return sorted((_build(row) for row in await uow.connection.execute(statement)), key=lambda run: run.id)


async def renew(uow: UnitOfWork, run: JobRun, *, ttl: float) -> bool:
    """Say that the run is alive; False if another process holds it for dead."""
    statement = update(job_runs).where(*_is_ours(run)).values(expires_at=uow.now + timedelta(seconds=ttl))
    return (await uow.connection.execute(statement)).rowcount == 1


async def finish(
    uow: UnitOfWork,
    run: JobRun,
    state: JobState,
    *,
    result: Mapping[str, object] | None = None,
    error: str | None = None,
    fix: str | None = None,
) -> bool:
    """Record how a run ended; without a result it had nothing to do. False if it is no longer ours."""
    statement = (
        update(job_runs)
        .where(*_is_ours(run))
        .values(
            state=state.value,
            ended_at=uow.now,
            expires_at=None,
            idle=state is JobState.DONE and not result,
            result=_dump(result or {}),
            error=None if error is None else storable(error),
            fix=None if fix is None else storable(fix),
        )
    )
    return (await uow.connection.execute(statement)).rowcount == 1


async def record(
    uow: UnitOfWork,
    job: str,
    state: JobState,
    *,
    worker: str,
    started_at: datetime,
    result: Mapping[str, object],
    error: str | None = None,
    fix: str | None = None,
) -> None:
    """Store a run that has ended already."""
    row = _row(uow, job, RunCause.SCHEDULE) | {
        "state": state.value,
        "worker": worker,
        "created_at": started_at,
        "started_at": started_at,
        "ended_at": uow.now,
        "result": _dump(result),
        "error": None if error is None else storable(error),
        "fix": None if fix is None else storable(fix),
    }
    await uow.connection.execute(insert(uow.connection, job_runs).values(row))


async def interrupt_dead(uow: UnitOfWork, *, worker: str) -> list[JobRun]:
    """Mark running ones as interrupted whose process no longer renews them; return them. Those of `worker`, which asks,
    are alive: it may have been frozen."""
    statement = (
        update(job_runs)
        .where(_RUNNING, job_runs.c.expires_at <= uow.now, job_runs.c.worker != worker)
        .values(state=JobState.INTERRUPTED.value, ended_at=uow.now, expires_at=None)
        .returning(*job_runs.c)
    )
    return [_build(row) for row in await uow.connection.execute(statement)]


async def restart(uow: UnitOfWork, run: JobRun) -> JobRun | None:
    """Let the job of an interrupted run begin anew. None if one waits already, or if it was interrupted too often."""
    if run.attempt >= MAX_ATTEMPTS:
        return None
    return await _insert(uow, _row(uow, run.job, RunCause.RESTART) | {"actor": run.actor, "attempt": run.attempt + 1})


async def give_up_waiting(uow: UnitOfWork, jobs: Collection[str], *, age: timedelta) -> int:
    """End the runs that have waited for longer than `age`, of other jobs than these: nobody will take them."""
    statement = (
        update(job_runs)
        .where(_WAITING, job_runs.c.job.not_in(sorted(jobs)), job_runs.c.created_at < uow.now - age)
        .values(
            state=JobState.FAILED.value,
            ended_at=uow.now,
            error="The settings turn this job off, so nobody has run it.",
            fix="Turn it on, and ask for it again.",
        )
    )
    return (await uow.connection.execute(statement)).rowcount


async def end_open(uow: UnitOfWork, *, error: str, fix: str) -> int:
    """End all runs that are running or waiting as failed, whoever runs them, and return their number."""
    statement = (
        update(job_runs)
        .where(or_(_RUNNING, _WAITING))
        .values(state=JobState.FAILED.value, ended_at=uow.now, expires_at=None, error=error, fix=fix)
    )
    return (await uow.connection.execute(statement)).rowcount


_OF_ID = select(job_runs).where(job_runs.c.id == bindparam("the_id"))


async def get(connection: AsyncConnection, number: int) -> JobRun | None:
    row = (await connection.execute(_OF_ID, {"the_id": number})).first()
    return None if row is None else _build(row)


async def list_page(
    connection: AsyncConnection,
    *,
    job: str | None = None,
    state: JobState | None = None,
    since: datetime | None = None,
    before: int | None = None,
    with_idle: bool = True,
    limit: int,
) -> list[JobRun]:
    """Runs, the newest first; `before`: only with a smaller ID; `since`: only those that were created then or later."""
    statement = select(job_runs).order_by(job_runs.c.id.desc()).limit(limit)
    if job is not None:
        statement = statement.where(job_runs.c.job == job)
    if state is not None:
        statement = statement.where(job_runs.c.state == state.value)
    if since is not None:
        statement = statement.where(job_runs.c.created_at >= since)
    if before is not None:
        statement = statement.where(job_runs.c.id < before)
    if not with_idle:
        statement = statement.where(job_runs.c.idle.is_(False))
    return [_build(row) for row in await connection.execute(statement)]


async def list_busy(
    connection: AsyncConnection,
    prefix: str,
    *,
    before: Before | None = None,
    limit: int,
    actor: str | None = None,
) -> list[JobRun]:
    """Runs of the jobs whose names begin so that had something to do, created before that time, the newest first;
    `actor`: only if this one asked for it."""
    is_busy = (job_runs.c.job.startswith(prefix, autoescape=True), job_runs.c.idle.is_(False))
    order = (job_runs.c.created_at.desc(), job_runs.c.id.desc())
    statement = select(job_runs).where(*is_busy).order_by(*order).limit(limit)
    if before is not None:
        statement = statement.where(is_before(job_runs.c.created_at, job_runs.c.id, before))
    if actor is not None:
        statement = statement.where(job_runs.c.actor == actor)
    return [_build(row) for row in await connection.execute(statement)]


_LATEST = select(job_runs).where(job_runs.c.job == bindparam("the_job")).order_by(job_runs.c.id.desc()).limit(1)


async def latest(connection: AsyncConnection, jobs: Collection[str]) -> dict[str, JobRun]:
    """The latest run of each of these jobs that has had one."""
    found = {}
    for job in jobs:
        row = (await connection.execute(_LATEST, {"the_job": job})).first()
        if row is not None:
            found[job] = _build(row)
    return found


def _is_running() -> ColumnElement[bool]:
    """The condition that another run of the same job is running."""
    others = job_runs.alias("others")
    return select(others.c.id).where(others.c.job == job_runs.c.job, others.c.state == JobState.RUNNING.value).exists()


def _dump(result: Mapping[str, object]) -> str:
    return orjson.dumps(storable_values(dict(result)), default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _is_ours(run: JobRun) -> Sequence[Any]:
    return (job_runs.c.id == run.id, job_runs.c.worker == run.worker, _RUNNING)


def _row(uow: UnitOfWork, job: str, cause: RunCause) -> dict[str, Any]:
    return {
        "job": job,
        "state": JobState.WAITING.value,
        "cause": cause.value,
        "attempt": 1,
        "created_at": uow.now,
        "idle": False,
        "result": "{}",
    }


async def _insert(uow: UnitOfWork, row: Mapping[str, Any]) -> JobRun | None:
    statement = insert(uow.connection, job_runs).values(row).on_conflict_do_nothing().returning(*job_runs.c)
    made = (await uow.connection.execute(statement)).first()
    return None if made is None else _build(made)


def _build(row: Any) -> JobRun:
    return JobRun(
        id=row.id,
        job=row.job,
        slot=row.slot,
        state=JobState(row.state),
        cause=RunCause(row.cause),
        actor=row.actor,
        attempt=row.attempt,
        worker=row.worker,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        expires_at=row.expires_at,
        idle=row.idle,
        result=orjson.loads(row.result),
        error=row.error,
        fix=row.fix,
    )
