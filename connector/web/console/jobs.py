"""Jobs: when they run, how their runs ended, and who is there to run them; ops run, pause and reschedule them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from connector.errors import CommandError, UsageError
from connector.jobs.job_list import (
    OFF,
    find_job,
    find_paused_job,
    list_all_jobs,
    list_jobs,
    request_run,
    set_paused,
    set_trigger,
    view_run,
)
from connector.jobs.job_obstacles import note_missing_role
from connector.jobs.schedule import JobDefinition, parse_trigger
from connector.model.job_run import JobState
from connector.store import job_runs, leases, workers
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.path_number import is_number, query_number
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

PAGE_SIZE = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseView:
    """A lease as people see it. `seconds`: how long it still holds; negative if its owner died."""

    name: str
    owner: str
    seconds: float


async def load_jobs(call: RequestContext) -> Mapping[str, object]:
    now = call.store.clock.now()
    async with call.store.for_org(None).reader() as connection:
        found = await workers.list_workers(connection, now)
        held = await leases.list_unreleased(connection)
        failed = await job_runs.list_page(connection, state=JobState.FAILED, limit=5)
    jobs = await list_all_jobs(call.store, call.jobs)
    return {
        "jobs": jobs,
        "off": {job.name for job in jobs if job.trigger == OFF},
        "workers": found,
        "has_scheduler": any(worker.alive and "scheduler" in worker.roles for worker in found),
        "leases": [
            LeaseView(name=item.name, owner=item.owner, seconds=(item.expires_at - now).total_seconds())
            for item in held
        ],
        "failed": [view_run(run) for run in failed],
    }


async def load_job(call: RequestContext) -> Mapping[str, object]:
    """One job with its runs, page by page."""
    name, state = call.path_key("name"), call.query_choice("state", JobState)
    before, with_idle = query_number(call, "before"), call.query_value("idle") == "yes"
    job = await _find(call, name)
    [view] = await list_jobs(call.store, [job])
    async with call.store.reader() as connection:
        runs = await job_runs.list_page(
            connection, job=name, state=state, before=before, with_idle=with_idle, limit=PAGE_SIZE + 1
        )
    shown = [view_run(run) for run in runs[:PAGE_SIZE]]
    return {
        "title": f"Job {name}",
        "job": view,
        "runs": shown,
        "longest": max((run.seconds for run in shown if run.seconds), default=0),
        "following": runs[PAGE_SIZE - 1].id if len(runs) > PAGE_SIZE else None,
        "is_later_page": before is not None,
        "states": list(JobState),
        "state": state,
        "with_idle": with_idle,
        "can_run": job in call.jobs,
    }


async def _find(call: RequestContext, name: str) -> JobDefinition:
    try:
        return await find_paused_job(call.store, call.jobs, name)
    except CommandError as error:
        raise ProblemError(404, "unknown", error.message, field="name", hint=error.hint) from None


async def run_now(call: RequestContext, form: Form) -> Done:
    name = call.path_key("name")
    try:
        job = find_job(call.jobs, name)
    except CommandError as error:
        raise ProblemError(404, "unknown", error.message, field="name", hint=error.hint) from None
    run = await request_run(call.store, job, actor=call.token.name)
    note = await note_missing_role(call.store, "scheduler")
    return Done(where=_where(form, name), told=f"{name} runs as soon as a scheduler takes it (run {run.id}).{note}")


async def change_pause(call: RequestContext, form: Form, *, paused: bool) -> Done:
    name = call.path_key("name")
    job = await _find(call, name)
    changed = await set_paused(call.store, job, paused, actor=call.token.name)
    if not changed:
        told = f"{name} was {'paused' if paused else 'not paused'} already."
    elif job.off and not paused:
        told = f"{name} is not paused any more. {job.summary}"
    else:
        told = (
            f"{name} begins no more runs by itself, in any process." if paused else f"{name} runs at its times again."
        )
    return Done(where=_where(form, name), told=told)


async def change_trigger(call: RequestContext, form: Form) -> Done:
    """Run the job at other times. Raises FormError for a time that is none."""
    name = call.path_key("name")
    job = await _find(call, name)
    every, cron, version = (form.get(field, "").strip() for field in ("seconds", "cron", "version"))
    try:
        trigger = parse_trigger(seconds=_seconds(every), cron=cron or None)
    except UsageError as error:
        raise FormError({"cron" if cron and not every else "seconds": f"{error.message} {error.hint}"}) from None
    if not is_number(version):
        raise FormError({"": "This form is not complete. Reload the page, and repeat it."})
    await set_trigger(call.store, job, trigger, actor=call.token.name, version=int(version))
    return Done(where=_where(form, name), told=f"{name} runs {trigger}.")


async def reset_trigger(call: RequestContext, form: Form) -> Done:
    name = call.path_key("name")
    job = await _find(call, name)
    await set_trigger(call.store, job, None, actor=call.token.name)
    [view] = await list_jobs(call.store, [job])
    return Done(where=_where(form, name), told=f"{name} runs at the times of the settings: {view.trigger}.")


def _seconds(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise FormError({"seconds": f"seconds: {text[:40]!r} is no number."}) from None


def _where(form: Form, name: str) -> str:
    return "/jobs" if form.get("from") == "list" else f"/jobs/{quote(name, safe='')}"


LIST = ConsolePage(path="/jobs", title="Jobs", template="jobs.html.j2", load=load_jobs)
ONE = ConsolePage(path="/jobs/{name}", title="Job", template="job.html.j2", load=load_job)
PAGES = (LIST, ONE)
ACTIONS = (
    ConsoleAction(path="/jobs/{name}/run", act=run_now, page=ONE),
    ConsoleAction(path="/jobs/{name}/pause", act=partial(change_pause, paused=True), page=ONE),
    ConsoleAction(path="/jobs/{name}/resume", act=partial(change_pause, paused=False), page=ONE),
    ConsoleAction(path="/jobs/{name}/trigger", act=change_trigger, page=ONE),
    ConsoleAction(path="/jobs/{name}/trigger/reset", act=reset_trigger, page=ONE),
)
