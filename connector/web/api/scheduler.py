"""The scheduler endpoint: jobs with their runs; run one now, pause it, run it at other times."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connector.api.runs import HIDDEN_REASON
from connector.api.schemas import TriggerBody
from connector.errors import CommandError, UsageError
from connector.jobs.job_list import (
    JobRunView,
    JobView,
    find_job,
    find_paused_job,
    list_all_jobs,
    list_jobs,
    request_run,
    set_paused,
    set_trigger,
    view_run,
)
from connector.jobs.schedule import JobDefinition, parse_trigger
from connector.model.job_run import JobRun, JobState, JobTrigger
from connector.model.role import Role
from connector.store import job_runs
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.path_number import path_number, query_number
from connector.web.preconditions import checked_version, etag, version_of
from connector.web.problem import ProblemError
from connector.web.query_moment import query_moment
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class JobList:
    jobs: list[JobView]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRunPage:
    """Runs, the newest first; `before` of the next page, None on the last one."""

    runs: list[JobRunView]
    before: int | None


async def get_jobs(call: RequestContext) -> ApiResponse:
    jobs = await list_all_jobs(call.store, call.jobs)
    return ApiResponse(value=JobList(jobs=[_visible_job(call, job) for job in jobs]))


async def get_job(call: RequestContext) -> ApiResponse:
    return await _job_response(call, await _paused_job(call))


async def run_job(call: RequestContext) -> ApiResponse:
    run = await request_run(call.store, _job(call), actor=call.token.name)
    return ApiResponse(value=view_run(run), status=202, headers={"Location": f"/api/v1/scheduler/runs/{run.id}"})


async def pause_job(call: RequestContext) -> ApiResponse:
    return await _set_paused(call, paused=True)


async def resume_job(call: RequestContext) -> ApiResponse:
    return await _set_paused(call, paused=False)


async def put_trigger(call: RequestContext, body: TriggerBody) -> ApiResponse:
    job = _job(call)
    try:
        trigger = parse_trigger(seconds=body.seconds, cron=body.cron)
    except UsageError as error:
        field = "cron" if body.cron is not None else "seconds"
        raise ProblemError(422, "input", error.message, field=field, hint=error.hint) from None
    return await _set_trigger(call, job, trigger)


async def delete_trigger(call: RequestContext) -> ApiResponse:
    return await _set_trigger(call, _job(call), None)


async def get_runs(call: RequestContext) -> ApiResponse:
    """List runs, the newest first."""
    limit, state = limit_of(call), call.query_choice("state", JobState)
    idle = call.query_value("idle") or "true"
    if idle not in {"true", "false"}:
        raise ProblemError(400, "query", f"idle: invalid value {idle[:80]!r}.", field="idle", hint="Use true or false.")
    before = query_number(call, "before")
    async with call.store.reader() as connection:
        runs = await job_runs.list_page(
            connection,
            job=call.query_key("job"),
            state=state,
            since=query_moment(call, "since"),
            before=before,
            with_idle=idle == "true",
            limit=limit + 1,
        )
    following = runs[limit - 1].id if len(runs) > limit else None
    return ApiResponse(value=JobRunPage(runs=[_visible_run(call, run) for run in runs[:limit]], before=following))


async def get_run(call: RequestContext) -> ApiResponse:
    number = path_number(call, "id", "run")
    async with call.store.reader() as connection:
        run = await job_runs.get(connection, number)
    if run is None:
        raise ProblemError(404, "unknown", f"There is no run {number}.", field="id")
    return ApiResponse(value=_visible_run(call, run))


def _visible_run(call: RequestContext, run: JobRun) -> JobRunView:
    return _without_reason(call, view_run(run))


def _visible_job(call: RequestContext, job: JobView) -> JobView:
    return job if job.last_run is None else replace(job, last_run=_without_reason(call, job.last_run))


def _without_reason(call: RequestContext, run: JobRunView) -> JobRunView:
    """The run as the caller may see it: an error can quote a value."""
    is_hidden = run.error is not None and not call.token.role.covers(Role.OPS)
    return replace(run, error=HIDDEN_REASON, fix=None) if is_hidden else run


def _job(call: RequestContext) -> JobDefinition:
    try:
        return find_job(call.jobs, call.path_key("name"))
    except CommandError as error:
        raise ProblemError(404, "unknown", error.message, field="name", hint=error.hint) from None


async def _job_response(call: RequestContext, job: JobDefinition) -> ApiResponse:
    [view] = await list_jobs(call.store, [job])
    return ApiResponse(value=_visible_job(call, view), headers=etag(view.version), is_versioned=False)


async def _set_trigger(call: RequestContext, job: JobDefinition, trigger: JobTrigger | None) -> ApiResponse:
    if_match = call.request.headers.get("If-Match")
    with checked_version(if_match):
        await set_trigger(call.store, job, trigger, actor=call.token.name, version=version_of(if_match))
    return await _job_response(call, job)


async def _paused_job(call: RequestContext) -> JobDefinition:
    try:
        return await find_paused_job(call.store, call.jobs, call.path_key("name"))
    except CommandError as error:
        raise ProblemError(404, "unknown", error.message, field="name", hint=error.hint) from None


async def _set_paused(call: RequestContext, *, paused: bool) -> ApiResponse:
    job = await _paused_job(call)
    await set_paused(call.store, job, paused, actor=call.token.name)
    return await _job_response(call, job)


_JOBS = "/scheduler/jobs"
ROUTES = (
    Route(method="GET", path=_JOBS, role=Role.VIEWER, handler=get_jobs, result=JobList,
          summary="The jobs of the service: when they run, and their latest runs."),
    Route(method="GET", path=f"{_JOBS}/{{name}}", role=Role.VIEWER, handler=get_job, result=JobView,
          summary="One job of the service."),
    Route(method="POST", path=f"{_JOBS}/{{name}}/run", role=Role.OPS, handler=run_job, result=JobRunView,
          statuses=(202,),
          summary="Run a job now: a scheduler takes it within a second or two."),
    Route(method="POST", path=f"{_JOBS}/{{name}}/pause", role=Role.OPS, handler=pause_job, result=JobView,
          summary="Begin no more runs of a job by its trigger, in any process."),
    Route(method="POST", path=f"{_JOBS}/{{name}}/resume", role=Role.OPS, handler=resume_job, result=JobView,
          summary="Run a paused job again at its times."),
    Route(method="PUT", path=f"{_JOBS}/{{name}}/trigger", role=Role.OPS, result=JobView,
          handler=BodyHandler(TriggerBody, put_trigger), headers=("If-Match",),
          summary="Run a job at other times than the settings say: an interval, or a cron expression in UTC."),
    Route(method="DELETE", path=f"{_JOBS}/{{name}}/trigger", role=Role.OPS, handler=delete_trigger, result=JobView,
          headers=("If-Match",),
          summary="Run a job at the times of the settings again."),
    Route(method="GET", path="/scheduler/runs", role=Role.VIEWER, handler=get_runs, result=JobRunPage,
          summary="Runs of jobs, the newest first, page by page.",
          choices={"state": JobState, "idle": ("true", "false")},
          queries={"job": "only of this job", "state": "only in this state", "since": "only created then or later",
                   "idle": "false: without those that had nothing to do", "before": "list only smaller ids",
                   "limit": f"page size, up to {MAX_LIMIT}"}),
    Route(method="GET", path="/scheduler/runs/{id}", role=Role.VIEWER, handler=get_run, result=JobRunView,
          summary="One run of a job."),
)  # fmt: skip
