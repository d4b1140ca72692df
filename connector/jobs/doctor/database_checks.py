"""Checks of the database, and of what it says of the running service: queue, leases and roles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from datetime import datetime, timedelta

from connector.api.paused_jobs import describe_paused_jobs
from connector.errors import StoreError
from connector.jobs.role_supervisor import RoleState
from connector.jobs.schedule import job_of
from connector.model.api_budget import BudgetUsage, describe_pause
from connector.model.change import ChangeState
from connector.model.health_check import HealthCheck, failed, passed, skipped, warned
from connector.outbound.other_orgs import describe_other_org, load_other_orgs
from connector.salesforce.address import has_pubsub
from connector.settings import Settings
from connector.store import (
    api_calls,
    conflicts,
    job_schedules,
    leases,
    orgs,
    outages,
    outbox_counts,
    retry_schedule,
    schema,
    workers,
)
from connector.store.database_info import DatabaseInfo, read_database_info
from connector.store.engine import Store
from connector.wording import plural

DATABASE, QUEUE, LEASES, ROLES, JOBS = "database", "queue", "leases", "roles", "jobs"
OTHER_ORGS = "other orgs"
OF_THE_DATABASE = (QUEUE, LEASES, ROLES, JOBS)

LEAST_FREE = 100 << 20
"""Bytes on the disk below which SQLite may soon refuse to write."""
LITTLE_FREE = 1 << 30
LONG_WAIT = timedelta(minutes=10)
"""A change that waits longer should be looked at."""
CLOCKS_DIFFER = 2.0
"""Seconds; leases rely on clocks that differ by much less than a lease."""


async def check_database(store: Store, settings: Settings) -> tuple[HealthCheck, bool]:
    """The check, and whether the database can be read by this release."""
    try:
        await schema.check(store)
        info = await read_database_info(store)
    except StoreError as error:
        return failed(DATABASE, error.message, error.hint), False
    return (_sqlite(store, info) if store.dialect == "sqlite" else _postgresql(store, info, settings)), True


def _sqlite(store: Store, info: DatabaseInfo) -> HealthCheck:
    text = f"{store.address} is at revision {schema.HEAD}, the newest (SQLite {info.version}"
    text += f", journal mode {info.journal_mode})."
    if info.size is None or info.free is None:
        return passed(DATABASE, text)
    text += f" It has {_size(info.size)}, and its disk {_size(info.free)} free."
    if info.free < LEAST_FREE:
        return failed(DATABASE, text, "Make room on the disk: SQLite needs it for every change.")
    if info.free < max(LITTLE_FREE, info.size):
        return warned(DATABASE, text, "Make room on the disk: an upgrade or a backup may need as much as the database.")
    if info.journal_mode != "wal":
        fix = "Keep the file on a local disk: without a write-ahead log, readers wait for writers."
        return warned(DATABASE, text, fix)
    return passed(DATABASE, text)


def _postgresql(store: Store, info: DatabaseInfo, settings: Settings) -> HealthCheck:
    how = "through a pooler" if info.pooled else "directly"
    text = f"{store.address} is at revision {schema.HEAD}, the newest (PostgreSQL {info.version}, reached {how})."
    if abs(info.clock_offset) > min(CLOCKS_DIFFER, settings.sync.lease_seconds / 2):
        text += f" Its clock differs from ours by {abs(info.clock_offset):.1f} s."
        return warned(DATABASE, text, "Synchronize the clocks of all machines (NTP): leases rely on them.")
    return passed(DATABASE, text)


async def check_queue(store: Store, settings: Settings) -> HealthCheck:
    """What waits to be sent, or for a person."""
    async with store.reader() as connection:
        unsent = await outbox_counts.counts(connection)
        oldest = await retry_schedule.oldest_capture(connection)
        outage = await outages.get_current(connection)
        open_conflicts = await conflicts.count_open(connection)
        paused = {job.name for job in await job_schedules.list_paused(connection)}
        org, policy = await orgs.get_active(connection), api_calls.policy_of(settings.budget)
        usage = None if org is None else await api_calls.usage(connection, org.org_id, store.clock.now(), policy)
    due, dead = (sum(states[state] for states in unsent.values()) for state in (ChangeState.DUE, ChangeState.DEAD))
    waiting = f"{plural(due, 'change')} to be sent"
    age = None if oldest is None else store.clock.now() - oldest
    if due and age is not None:
        waiting += f", the oldest for {_duration(age)}"
    text = f"{waiting}; {plural(dead, 'dead letter')}; {plural(open_conflicts, 'open conflict')}."
    if outage is not None:
        text = f"The org has accepted nothing since {_moment(outage.since)}: {outage.message} {text}"
        return failed(QUEUE, text, outage.fix or "`connector status` says more.")
    if dead:
        return warned(QUEUE, text, "`connector dead-letters list` says why, and what to do.")
    if due and age is not None and age > LONG_WAIT:
        return warned(QUEUE, text, _how_to_send(job_of("push", store.org or ""), paused, usage))
    if open_conflicts:
        return warned(QUEUE, text, "`connector conflicts list` shows them; `connector conflicts resolve` decides one.")
    return passed(QUEUE, text)


def _how_to_send(job: str, paused_jobs: Set[str], usage: BudgetUsage | None) -> str:
    """What to do about changes that have waited for long."""
    if job in paused_jobs:
        return f"The job {job} is paused: `connector jobs resume {job}` lets the service send them."
    if usage is not None and usage.paused:
        return describe_pause(usage)[1]
    return "Start the service (`connector serve`), or send them with `connector push`."


async def check_leases(store: Store) -> HealthCheck:
    """A lease that expired, and that nobody released, is that of a process that died."""
    now = store.clock.now()
    async with store.reader() as connection:
        unreleased = await leases.list_unreleased(connection)
    expired = [lease for lease in unreleased if lease.expires_at <= now]
    held = len(unreleased) - len(expired)
    if not expired:
        return passed(LEASES, f"{plural(held, 'lease')} held, none expired.")
    owners = sorted({lease.owner for lease in expired})
    text = f"{plural(len(expired), 'lease')} of {plural(len(owners), 'process', 'processes')} expired unreleased: "
    text += f"{', '.join(owners)}. {plural(held, 'lease')} held."
    fix = "See whether these processes were killed, or are frozen; others take over what they did."
    return warned(LEASES, text, fix, [f"{lease.name}: expired {_moment(lease.expires_at)}" for lease in expired])


async def check_roles(store: Store, settings: Settings, own: Sequence[RoleState]) -> HealthCheck:
    """Which roles run in some process on this database. `own`: those of this process."""
    async with store.reader() as connection:
        found = await workers.list_workers(connection, store.clock.now())
    down = [state for state in own if not state.up]
    if down:
        text = f"The {down[0].role} of this process is down: {down[0].error or 'it ended'}."
        return failed(ROLES, text, "It begins anew by itself; the log says why it fails.")
    alive = [worker for worker in found if worker.alive]
    counts = Counter(role for worker in alive for role in worker.roles)
    if not alive:
        return warned(ROLES, "No process of the service runs on this database.", "Start it: `connector serve`.")
    told = ", ".join(f"{role} {number}" if number > 1 else role for role, number in sorted(counts.items()))
    text = f"{plural(len(alive), 'process runs', 'processes run')} the roles {told}."
    expected = ["scheduler"]
    if settings.salesforce.login_url:
        expected.append("worker")
        expected += ["listener"] if settings.inbound.listen and has_pubsub(settings.salesforce) else []
    if missing := [role for role in expected if role not in counts]:
        text += f" No process is a {' or a '.join(missing)}."
        return warned(ROLES, text, f"Start one: `connector serve --roles {','.join(missing)}`.")
    if dead := [worker for worker in found if not worker.alive]:
        names = ", ".join(f"{worker.host}:{worker.pid}" for worker in dead)
        fix = "Nothing to do, if they were replaced: `connector workers list` forgets them after a day."
        return warned(ROLES, f"{text} {plural(len(dead), 'process', 'processes')} died: {names}.", fix)
    return passed(ROLES, text)


async def check_jobs(store: Store) -> HealthCheck:
    """Which jobs people have paused, as `connector db restore` does with those that send."""
    async with store.reader() as connection:
        paused = await job_schedules.list_paused(connection)
    if not paused:
        return passed(JOBS, "No job is paused.")
    return warned(JOBS, *describe_paused_jobs(paused))


async def check_other_orgs(store: Store, settings: Settings) -> HealthCheck:
    """What the database says of the orgs besides the default one, which are not called."""
    others = await load_other_orgs(store, api_calls.policy_of(settings.budget), configured=settings.orgs)
    text = " ".join(describe_other_org(org) for org in others)
    first = next((org for org in others if not org.is_quiet and org.name in settings.orgs), None)
    if first is None:
        return passed(OTHER_ORGS, f"{text} `CONNECTOR_ORG={min(settings.orgs)} connector doctor` checks such an org.")
    return warned(OTHER_ORGS, text, f"`CONNECTOR_ORG={first.name} connector doctor` checks that org.")


def skip_of_database(why: str) -> list[HealthCheck]:
    return [skipped(name, why) for name in OF_THE_DATABASE]


def _duration(span: timedelta) -> str:
    seconds = span.total_seconds()
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return plural(int(seconds // size), unit)
    return plural(int(seconds), "second")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _size(number: int) -> str:
    for size, unit in ((1 << 30, "GB"), (1 << 20, "MB")):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1024:,.0f} kB"
