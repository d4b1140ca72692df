"""`connector jobs`: when the service's jobs run, what became of them, and running one now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run
from connector.errors import ConnectorError, UsageError

if TYPE_CHECKING:
    from connector.jobs.job_list import JobRunView, JobView
    from connector.jobs.schedule import JobDefinition
    from connector.model.job_run import JobRun, JobState, JobTrigger
    from connector.store.engine import Store

jobs_app = typer.Typer(
    help="The jobs of the service: when they run, what became of them; run one now, pause it, change its times.",
    short_help="When the service's jobs run; run or pause one.",
)
app.add_typer(jobs_app, name="jobs")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Name = Annotated[str, typer.Argument(help="The job's name, from `jobs list`.")]
MAX_LISTED = 1000
LOOK_SECONDS = 0.2
NOBODY = "No process of the service is a scheduler now: start one with `connector serve`."
NOBODY_SECONDS = 10.0
"""How long it waits for a scheduler to take a run."""


@jobs_app.command("list", short_help="All jobs, when they run, and their latest runs.")
def list_jobs(json: Json = False) -> None:
    """All jobs of the service: when they run, when they run next, and what became of the latest run."""
    views, is_run = run(_list_jobs())
    if json:
        as_json([_document(view) for view in views])
        return
    rows = []
    for view in views:
        following = "paused" if view.paused else "" if view.next_run is None else moment(view.next_run)
        rows.append((view.name, view.trigger, following, _latest(view.last_run)))
    table(("Job", "Runs", "Next", "Latest run"), rows)
    if not is_run:
        typer.echo(f"{NOBODY} Until then no job runs.")


@jobs_app.command("run", short_help="Run a job now.")
def run_now(
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; exit status 1 if it failed.")] = False,
    json: Json = False,
) -> None:
    """Ask for a run of a job now. The scheduler of the service (`connector serve`) takes it within a second or two."""
    view, is_run = run(_run_now(name, wait=wait))
    if json:
        as_json(_document(view))
    else:
        typer.echo(_told(view) if wait else f"Run {view.id} of {view.job} waits for a scheduler.")
        if not wait and not is_run:
            typer.echo(NOBODY)
        if not wait:
            typer.echo(f"`connector jobs show {view.id}` says what becomes of it.")
    if wait and view.state != "done":
        raise typer.Exit(1)


@jobs_app.command(short_help="Begin no more runs of a job by its times.")
def pause(name: Name, json: Json = False) -> None:
    """Begin no more runs of a job by its times, in any process, until `jobs resume`. `jobs run` still works."""
    changed, view = run(_set_paused(name, paused=True))
    if json:
        as_json({"changed": changed, **_document(view)})
    else:
        typer.echo(f"{name} is paused." if changed else f"{name} was paused already.")


@jobs_app.command(short_help="Run a paused job again at its times.")
def resume(name: Name, json: Json = False) -> None:
    """Run a paused job again at its times."""
    changed, view = run(_set_paused(name, paused=False))
    if json:
        as_json({"changed": changed, **_document(view)})
    elif not changed:
        typer.echo(f"{name} was not paused.")
    else:
        typer.echo(f"{name} is not paused any more. {view.summary}" if view.trigger == "off" else f"{name} runs again.")


@jobs_app.command("set", short_help="Run a job at other times.")
def set_times(
    name: Name,
    every: Annotated[float | None, typer.Option(help="Seconds between two runs.", show_default=False)] = None,
    cron: Annotated[
        str | None, typer.Option(help="Five fields as in crontab, in UTC: '30 2 * * *'.", show_default=False)
    ] = None,
    default: Annotated[bool, typer.Option("--default", help="The times of the settings again.")] = False,
    json: Json = False,
) -> None:
    """Run a job at other times than the settings say. Running services follow within a second or two."""
    if [every is not None, cron is not None, default].count(True) != 1:
        raise UsageError("Give one of --every, --cron and --default.")
    from connector.jobs.schedule import parse_trigger

    trigger = None if default else parse_trigger(seconds=every, cron=cron)
    view = run(_set_trigger(name, trigger))
    if json:
        as_json(_document(view))
        return
    following = "" if view.next_run is None else f", next at {moment(view.next_run)}"
    typer.echo(f"{view.name} runs {view.trigger}{following}.")


@jobs_app.command(short_help="Runs, the newest first.")
def runs(
    job: Annotated[str | None, typer.Option(help="Only of this job.", show_default=False)] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only waiting, running, done, failed or interrupted ones.", show_default=False),
    ] = None,
    idle: Annotated[bool, typer.Option("--idle", help="Those that had nothing to do, too.")] = False,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=MAX_LISTED)] = 20,
    json: Json = False,
) -> None:
    """Runs of jobs that did something, the newest first."""
    from connector.model.job_run import JobState

    if state is not None and state not in set(JobState):
        raise UsageError(f"--state: invalid state {state!r}.", hint=f"Use one of {', '.join(JobState)}.")
    views = run(_list_runs(job, None if state is None else JobState(state), idle=idle, limit=limit))
    if json:
        as_json([_document(view) for view in views])
        return
    if not views:
        typer.echo("No runs." if idle else "No runs that did something; --idle shows the others.")
        return
    rows = [
        (view.id, view.job, moment(view.started_at or view.created_at), _latest(view), _why(view)) for view in views
    ]
    table(("ID", "Job", "Began", "What became of it", "Run"), rows)


@jobs_app.command(short_help="One run in full.")
def show(run_id: Annotated[int, typer.Argument(help="The run's number.", min=1)], json: Json = False) -> None:
    """One run: why and where it ran, how long it took, and what it came to."""
    view = run(_show(run_id))
    if json:
        as_json(_document(view))
        return
    typer.echo(_told(view))
    for name, value in (
        ("Run", _why(view)),
        ("Due", "" if view.slot is None else moment(view.slot)),
        ("Process", view.worker or ""),
        ("Began", "" if view.started_at is None else moment(view.started_at)),
        ("Took", "" if view.seconds is None else f"{view.seconds:.1f} s"),
        ("Error", view.error or ""),
        ("What to do", view.fix or ""),
    ):
        if value:
            typer.echo(f"  {name}: {value}")
    for key, item in view.result.items():
        typer.echo(f"  {key}: {item}")


def _document(view: JobView | JobRunView) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(view)


def _latest(view: JobRunView | None) -> str:
    if view is None:
        return "never"
    at = moment(view.ended_at or view.started_at or view.created_at)
    if view.state == "done":
        return f"nothing to do, {at}" if view.idle else f"done, {at}"
    return f"{view.state}, {at}" + (f": {view.error}" if view.error else "")


def _why(view: JobRunView) -> str:
    if view.cause == "request":
        return f"asked for by {view.actor}"
    return "begun anew after an interruption" if view.cause == "restart" else "by schedule"


def _told(view: JobRunView) -> str:
    if view.state == "done":
        return f"Run {view.id} of {view.job}: " + ("nothing to do." if view.idle else "done.")
    return f"Run {view.id} of {view.job}: {view.state}." + (f" {view.error}" if view.error else "")


@asynccontextmanager
async def _opened() -> AsyncIterator[tuple[Store, list[JobDefinition]]]:
    """The database, and the jobs that the settings turn on."""
    from connector.jobs.schedule import define_jobs
    from connector.settings import load_settings
    from connector.store.schema import open_store

    settings = load_settings()
    async with open_store(settings) as store:
        yield store, define_jobs(settings)


async def _is_run(store: Store) -> bool:
    """Whether some living process of the service is the scheduler."""
    from connector.jobs.job_obstacles import is_role_missing

    async with store.reader() as connection:
        return not await is_role_missing(connection, "scheduler", store.clock.now())


async def _list_jobs() -> tuple[list[JobView], bool]:
    """The jobs, and whether a scheduler runs them."""
    from connector.jobs.job_list import list_all_jobs

    async with _opened() as (store, definitions):
        return await list_all_jobs(store, definitions), await _is_run(store)


async def _run_now(name: str, *, wait: bool) -> tuple[JobRunView, bool]:
    """The run, and whether there is a scheduler for it."""
    import asyncio

    from connector.jobs.job_list import find_job, request_run, view_run
    from connector.store import job_runs
    from connector.store.journal import command_line_actor

    async with _opened() as (store, definitions):
        asked: JobRun = await request_run(store, find_job(definitions, name), actor=command_line_actor())
        waited = 0.0
        while wait and asked.state in {"waiting", "running"}:
            await asyncio.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS
            async with store.reader() as connection:
                asked = await job_runs.get(connection, asked.id) or asked
            if asked.state == "waiting" and waited > NOBODY_SECONDS:
                raise ConnectorError(
                    f"No scheduler has taken run {asked.id} of {name} yet.",
                    hint="Start the service: `connector serve`. The run waits for it.",
                )
        return view_run(asked), await _is_run(store)


async def _set_paused(name: str, *, paused: bool) -> tuple[bool, JobView]:
    """Whether that changed something, and the job."""
    from connector.jobs.job_list import find_paused_job, list_jobs, set_paused
    from connector.store.journal import command_line_actor

    async with _opened() as (store, definitions):
        definition = await find_paused_job(store, definitions, name)
        changed = await set_paused(store, definition, paused, actor=command_line_actor())
        [view] = await list_jobs(store, [definition])
        return changed, view


async def _set_trigger(name: str, trigger: JobTrigger | None) -> JobView:
    from connector.jobs.job_list import find_job, list_jobs, set_trigger
    from connector.store.journal import command_line_actor

    async with _opened() as (store, definitions):
        definition = find_job(definitions, name)
        await set_trigger(store, definition, trigger, actor=command_line_actor())
        [view] = await list_jobs(store, [definition])
        return view


async def _list_runs(job: str | None, state: JobState | None, *, idle: bool, limit: int) -> list[JobRunView]:
    from connector.jobs.job_list import view_run
    from connector.store import job_runs

    async with _opened() as (store, _), store.reader() as connection:
        page = await job_runs.list_page(connection, job=job, state=state, with_idle=idle, limit=limit)
        return [view_run(item) for item in page]


async def _show(run_id: int) -> JobRunView:
    from connector.jobs.job_list import view_run
    from connector.store import job_runs

    async with _opened() as (store, _), store.reader() as connection:
        found = await job_runs.get(connection, run_id)
    if found is None:
        raise ConnectorError(f"There is no run {run_id}.", hint="`connector jobs runs` lists them.")
    return view_run(found)
