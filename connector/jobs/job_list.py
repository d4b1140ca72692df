"""The jobs of the service as people see them: when they run, and what became of the latest run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.errors import CommandError
from connector.jobs.job_settings import need_of
from connector.jobs.schedule import JobDefinition, next_slot
from connector.model.job_run import JobRun, JobTrigger, version_of_change
from connector.store import job_runs, job_schedules, journal
from connector.store.engine import Store
from connector.store.journal import JournalEntry

WHENEVER = "whenever there is work"
ON_REQUEST = "on request"
OFF = "off"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRunView:
    """A run. `seconds`: how long it took; `worker`: the process, as host:pid:number."""

    id: int
    job: str
    state: str
    cause: str
    actor: str | None
    slot: datetime | None
    attempt: int
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    idle: bool
    result: dict[str, object]
    error: str | None
    fix: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """A job. `trigger` says in words when it runs. `changed_by` changed its schedule, or paused or resumed it, last."""

    name: str
    summary: str
    continuous: bool
    trigger: str
    seconds: float | None
    cron: str | None
    paused: bool
    changed_by: str | None
    changed_at: datetime | None
    next_run: datetime | None
    last_run: JobRunView | None

    @property
    def version(self) -> int:
        """Of its schedule: the moment of its latest change in microseconds; 0 as in the settings."""
        return version_of_change(self.changed_at)


def view_run(run: JobRun) -> JobRunView:
    return JobRunView(
        id=run.id,
        job=run.job,
        state=run.state.value,
        cause=run.cause.value,
        actor=run.actor,
        slot=run.slot,
        attempt=run.attempt,
        worker=run.worker,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        seconds=run.seconds,
        idle=run.idle,
        result=dict(run.result),
        error=run.error,
        fix=run.fix,
    )


def find_job(definitions: Sequence[JobDefinition], name: str) -> JobDefinition:
    """The job of this name. Raises CommandError if there is none, also if a setting would turn it on."""
    for definition in definitions:
        if definition.name == name:
            return definition
    is_of_an_org = "@" in name or any(item.name.startswith(f"{name}@") for item in definitions)
    if not is_of_an_org and (need := need_of(name)) is not None:
        raise CommandError(
            f"The job {name} is off: {need}.",
            hint="Set it where this runs, as for the service.",
            field="name",
            rule="unknown",
        )
    names = ", ".join(definition.name for definition in definitions)
    raise CommandError(f"There is no job {name}.", hint=f"Use one of {names}.", field="name", rule="unknown")


async def find_paused_job(store: Store, definitions: Sequence[JobDefinition], name: str) -> JobDefinition:
    """As `find_job`; also one that the settings turn off, if it is paused: a restore pauses all jobs that send."""
    return find_job(await _with_paused(store, definitions), name)


async def list_all_jobs(store: Store, definitions: Sequence[JobDefinition]) -> list[JobView]:
    """These jobs, in the same sequence, and those behind them that are paused, but that the settings turn off."""
    return await list_jobs(store, await _with_paused(store, definitions))


async def _with_paused(store: Store, definitions: Sequence[JobDefinition]) -> list[JobDefinition]:
    there = {job.name for job in definitions}
    async with store.reader() as connection:
        paused = await job_schedules.list_paused(connection)
    return [*definitions, *(_define_off(job.name) for job in paused if job.name not in there)]


def _define_off(name: str) -> JobDefinition:
    need = need_of(name)
    return JobDefinition(name=name, summary=f"The settings turn it off{f': {need}' if need else ''}.", off=True)


async def list_jobs(store: Store, definitions: Sequence[JobDefinition]) -> list[JobView]:
    """These jobs, in the same sequence."""
    async with store.reader() as connection:
        schedules = await job_schedules.load(connection)
        latest = await job_runs.latest(connection, [definition.name for definition in definitions])
    views = []
    for definition in definitions:
        changed, last = schedules.get(definition.name), latest.get(definition.name)
        trigger = definition.trigger if changed is None or changed.trigger is None else changed.trigger
        paused = changed is not None and changed.paused
        views.append(
            JobView(
                name=definition.name,
                summary=definition.summary,
                continuous=definition.continuous,
                trigger=_words(definition, trigger),
                seconds=None if trigger is None else trigger.seconds,
                cron=None if trigger is None else trigger.cron,
                paused=paused,
                changed_by=None if changed is None else changed.changed_by,
                changed_at=None if changed is None else changed.changed_at,
                next_run=None if trigger is None or paused or definition.off else next_slot(trigger, store.clock.now()),
                last_run=None if last is None else view_run(last),
            )
        )
    return views


def _words(definition: JobDefinition, trigger: JobTrigger | None) -> str:
    if definition.continuous:
        return WHENEVER
    if definition.off:
        return OFF
    return ON_REQUEST if trigger is None else str(trigger)


async def request_run(store: Store, definition: JobDefinition, *, actor: str) -> JobRun:
    """Ask for a run now; a scheduler takes it within a second or two."""
    async with store.transaction() as uow:
        run = await job_runs.request(uow, definition.name, actor=actor)
        entry = JournalEntry(entity="job", key=definition.name, action="run", detail={"run": run.id}, actor=actor)
        await journal.write(uow, [entry])
    return run


async def set_trigger(
    store: Store, definition: JobDefinition, trigger: JobTrigger | None, *, actor: str, version: int | None = None
) -> None:
    """Run the job at other times; None: at those of the settings. `version`: only if its schedule still has that one.
    Raises CommandError for a continuous job, and for another version."""
    if definition.continuous:
        raise CommandError(
            f"{definition.name} works {WHENEVER}: it has no interval.",
            hint="It can be paused.",
            field="name",
            rule="continuous",
        )
    async with store.transaction() as uow:
        if not await job_schedules.set_trigger(uow, definition.name, trigger, actor=actor, version=version):
            raise CommandError(
                f"The schedule of {definition.name} has been changed meanwhile.",
                hint="Read it again, and repeat the request if it still applies.",
                field="version",
                rule="version",
            )


async def set_paused(store: Store, definition: JobDefinition, paused: bool, *, actor: str) -> bool:
    """Pause the job, or let it go on; False if it is so already."""
    async with store.transaction() as uow:
        return await job_schedules.set_paused(uow, definition.name, paused, actor=actor)
