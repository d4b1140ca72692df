"""The jobs of the service: what each does, when it runs by the settings, and the clock's side of both."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from connector.errors import UsageError
from connector.model.job_run import JobTrigger
from connector.settings import Settings
from connector.settings.messages import Via

PULLED_OBJECTS = ("Account", "Product2", "Order", "OrderItem")
PRUNE_SECONDS = 3600.0
TRIAGE_SECONDS = 60.0
DRIFT_SECONDS = 900.0
SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 31 * 86400.0
CRON_HINT = "Five fields as in crontab, in UTC: `30 2 * * *` is every day at 02:30."

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAYS_OF_WEEK = re.compile(r"(\*|(?P<first>[0-7])(-(?P<last>[0-7]))?)(/(?P<step>[1-7]))?")

Result = Mapping[str, object]
"""What a run came to, for people; empty if there was nothing to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDefinition:
    """A job. `trigger`: when it runs by the settings; None: only when somebody asks. A `continuous` one works whenever
    there is work, in every process with its role; it has no slots, and its runs are kept if they did something.
    `off`: the settings turn it off."""

    name: str
    summary: str
    trigger: JobTrigger | None = None
    continuous: bool = False
    off: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job with what it does. Jobs of a process run one at a time, except `concurrent` ones: they wait for external
    servers, and must not delay the others."""

    definition: JobDefinition
    run: Callable[[], Awaitable[Result]]
    concurrent: bool = False

    @property
    def name(self) -> str:
        return self.definition.name


def pull_job(sobject: str, org: str = "") -> str:
    """The name of the job that pulls an object: `pull_account`, of another org than the default one
    `pull_account@emea`."""
    return job_of(f"pull_{sobject.lower()}", org)


def job_of(name: str, org: str) -> str:
    """The name of a job of an org."""
    return f"{name}@{org}" if org else name


def define_jobs(settings: Settings) -> list[JobDefinition]:
    """The jobs that these settings turn on. Every process on a database must have the same settings."""
    jobs = []
    for org in settings.org_names:
        if settings.for_org(org).salesforce.login_url:
            jobs += _jobs_with_the_org(settings, org)
    if settings.orders.automation_seconds:
        jobs.append(
            JobDefinition(
                name="order_automation",
                summary="Verifies placed orders, allocates stock to waiting ones, escalates old holds.",
                trigger=JobTrigger(seconds=settings.orders.automation_seconds),
            )
        )
    if settings.messages.via is not Via.NONE:
        jobs.append(
            JobDefinition(
                name="notifications",
                summary="Sends due messages to customers.",
                trigger=JobTrigger(seconds=settings.messages.seconds),
            )
        )
    if settings.webhooks.enabled:
        jobs.append(
            JobDefinition(
                name="webhooks",
                summary="Posts notices of applied changes to the company's own systems.",
                trigger=JobTrigger(seconds=settings.webhooks.seconds),
            )
        )
    if settings.backup.folder is not None:
        jobs.append(
            JobDefinition(
                name="backup",
                summary=f"Makes a backup of the database, and keeps the newest {settings.backup.keep}.",
                trigger=JobTrigger(cron=f"0 {int(settings.backup.hour)} * * *"),
            )
        )
    if settings.alerts.enabled:
        jobs.append(
            JobDefinition(
                name="alerts",
                summary="Looks for what operators must know, and tells them once.",
                trigger=JobTrigger(seconds=settings.alerts.seconds),
            )
        )
    if any(settings.for_org(org).salesforce.login_url for org in settings.org_names):
        jobs.append(
            JobDefinition(
                name="mapping_drift",
                summary="Says what a change of an admin in the org will break in the mappings. It makes no call.",
                trigger=JobTrigger(seconds=DRIFT_SECONDS),
            )
        )
    jobs.append(
        JobDefinition(
            name="triage",
            summary="Opens and closes causes of dead letters as they come and go.",
            trigger=JobTrigger(seconds=TRIAGE_SECONDS),
        )
    )
    jobs.append(
        JobDefinition(
            name="prune",
            summary="Deletes what is done with, and older than the settings keep; repairs what searches go by.",
            trigger=JobTrigger(seconds=PRUNE_SECONDS),
        )
    )
    return jobs


def _jobs_with_the_org(settings: Settings, org: str) -> list[JobDefinition]:
    of_org = f" of {org}" if org else ""
    inbound = settings.inbound
    listens = inbound.listen
    jobs = [
        JobDefinition(
            name=job_of("push", org),
            summary=f"Sends due changes to the org{of_org}, as they are made.",
            continuous=True,
        ),
        *(
            JobDefinition(
                name=pull_job(sobject, org),
                summary=f"Reads changed records of {sobject} from the org{of_org}, and applies them."
                + (" The listener does so by itself." if listens else ""),
                trigger=None if listens else JobTrigger(seconds=inbound.poll_seconds),
            )
            for sobject in PULLED_OBJECTS
        ),
    ]
    hour, heals = settings.reconcile.nightly_hour, settings.reconcile.heal
    jobs.append(
        JobDefinition(
            name=job_of("reconcile", org),
            summary=f"Compares both sides{of_org} field by field{', and heals what differs' if heals else ''}.",
            trigger=None if hour is None else JobTrigger(cron=f"0 {hour} * * *"),
        )
    )
    jobs.append(
        JobDefinition(
            name=job_of("heal", org),
            summary=f"Compares both sides{of_org}, and heals what differs by the owner of each field.",
        )
    )
    return jobs


def parse_trigger(*, seconds: float | None = None, cron: str | None = None) -> JobTrigger:
    """The trigger that a person asks for. Raises UsageError if it is none."""
    if (seconds is None) == (cron is None):
        raise UsageError("Give either an interval in seconds or a cron expression.", hint=CRON_HINT)
    if seconds is not None and not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise UsageError(f"The interval must be between {SHORTEST_SECONDS:g} second and 31 days.", hint=CRON_HINT)
    trigger = JobTrigger(seconds=seconds, cron=cron)
    try:
        clock_trigger(trigger)
    except ValueError as error:
        raise UsageError(f"The cron expression {cron!r} cannot be read: {error}.", hint=CRON_HINT) from None
    return trigger


def clock_trigger(trigger: JobTrigger) -> BaseTrigger:
    """The trigger as APScheduler knows it. Intervals are counted from 1970, so that all processes have the same slots.

    Raises ValueError for a cron expression that is none."""
    if trigger.cron is not None:
        return CronTrigger.from_crontab(_with_named_days(trigger.cron), timezone="UTC")
    return IntervalTrigger(seconds=trigger.seconds, start_date=datetime(1970, 1, 1, tzinfo=UTC), timezone="UTC")


def _with_named_days(cron: str) -> str:
    """In crontab, 0 and 7 are Sunday, and a week begins on it; APScheduler counts from Monday. By name, both mean the
    same. What is no list of numbers is left as it is, and refused there if it is wrong."""
    *fields, days = cron.split()
    if len(fields) != 4 or days == "*":
        return cron
    named: list[str] = []
    for item in days.lower().split(","):
        found = _DAYS_OF_WEEK.fullmatch(item)
        if found is None:
            named.append(item)
            continue
        first, last, step = found["first"] or "0", found["last"] or found["first"] or "6", int(found["step"] or 1)
        named += [_DAYS[day] for day in range(int(first), int(last) + 1, max(step, 1))]
    return " ".join([*fields, ",".join(named)])


def next_slot(trigger: JobTrigger, now: datetime) -> datetime | None:
    """The first slot after `now`; None if there is none."""
    found: datetime | None = clock_trigger(trigger).get_next_fire_time(None, now + timedelta(microseconds=1))
    return found


def latest_slot(trigger: JobTrigger, now: datetime) -> datetime | None:
    """The last slot up to `now`; None if there was none within a year."""
    if trigger.seconds is not None:
        since_start = now.timestamp() // trigger.seconds * trigger.seconds
        return datetime.fromtimestamp(since_start, UTC)
    clock = clock_trigger(trigger)
    for back in (timedelta(minutes=2), timedelta(hours=2), timedelta(days=2), timedelta(days=40), timedelta(days=366)):
        slot: datetime | None = None
        following: datetime | None = clock.get_next_fire_time(None, now - back)
        while following is not None and following <= now:
            slot = following
            following = clock.get_next_fire_time(slot, slot + timedelta(seconds=1))
        if slot is not None:
            return slot
    return None
