"""A note on a job of the service that does not run, for sentences that say what it will do."""

from __future__ import annotations

from connector.jobs.job_obstacles import note_obstacle
from connector.web.routing import RequestContext


async def note_job(call: RequestContext, job: str, count: int = 1) -> str:
    """Why the job does not do now what was asked of it; empty if it does, or if nothing was asked (`count` is 0)."""
    return await note_obstacle(call.store, [item.name for item in call.jobs], job) if count else ""
