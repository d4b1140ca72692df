"""A note on a job of the service that does not run, for sentences that say what it will do."""

from __future__ import annotations

from connector.jobs.job_obstacles import find_job_obstacle, note_missing_role
from connector.web.routing import RequestContext


async def note_job(call: RequestContext, job: str, count: int = 1) -> str:
    """Why the job does not do now what was asked of it; empty if it does, or if nothing was asked (`count` is 0)."""
    if not count:
        return ""
    turned_on = [item.name for item in call.jobs]
    async with call.store.reader() as connection:
        obstacle = await find_job_obstacle(connection, turned_on, job, call.store.clock.now())
    return "" if obstacle is None else f" {obstacle.text}"


async def note_pushes(call: RequestContext, count: int) -> str:
    """As `note_job`, for changes that are sent to any org. Where there are several, only that there is no worker."""
    names = [item.name for item in call.jobs if item.name.partition("@")[0] == "push"] or ["push"]
    if len(names) > 1:
        return await note_missing_role(call.store, "worker") if count else ""
    return await note_job(call, names[0], count)
