"""What keeps a job of the service from running now: the settings, a person, or that no process is there for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from connector.jobs.job_settings import need_of
from connector.store import job_schedules, workers
from connector.store.engine import Connection, Store


@dataclass(frozen=True, kw_only=True, slots=True)
class JobObstacle:
    """`text` says it to everybody; `more`: what an operator does about it; `since`, of a pause: when it began.
    `is_off`: the settings turn it off, so that it is in no list of jobs."""

    text: str
    more: str
    since: datetime | None = None
    is_off: bool = False


async def find_job_obstacle(
    connection: Connection, turned_on: Collection[str], job: str, now: datetime
) -> JobObstacle | None:
    """Why the job does not run now; None if it does. `turned_on`: the names of the jobs that the settings turn on."""
    if job not in turned_on:
        need = need_of(job)
        text = f"The job {job} is off in the settings of the service."
        return JobObstacle(text=text, more=f"{need[0].upper()}{need[1:]}." if need else "", is_off=True)
    for item in await job_schedules.list_paused(connection):
        if item.name == job:
            text = f"The job {job} is paused{f' by {item.by}' if item.by else ''}."
            return JobObstacle(text=text, more=f"`connector jobs resume {job}` lets it go on.", since=item.since)
    if await is_role_missing(connection, role := "worker" if job.partition("@")[0] == "push" else "scheduler", now):
        return JobObstacle(text=f"{_missing(role)}.", more=f"`connector serve --roles {role}` starts one.")
    return None


async def is_role_missing(connection: Connection, role: str, now: datetime) -> bool:
    """Whether no living process of the service has the role."""
    return role not in await workers.count_alive_by_role(connection, now)


async def note_missing_role(store: Store, role: str) -> str:
    """What to add to a sentence about work that was asked of this role; empty if a process has it."""
    async with store.reader() as connection:
        is_missing = await is_role_missing(connection, role, store.clock.now())
    return f" {_missing(role)}: it waits for one." if is_missing else ""


def _missing(role: str) -> str:
    return f"No process of the service is a {role} now"
