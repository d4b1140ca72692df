"""What operators are to be alerted to now, as the database says: each rule is one function."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connector.inbound.topic_status import TopicStatusKind, list_topics
from connector.jobs.schedule import JobDefinition
from connector.log.redaction import Redaction
from connector.model.alert import Alert, AlertRule, Condition
from connector.model.api_budget import describe_pause
from connector.model.deliveries import DeliveryMode
from connector.model.job_run import JobState
from connector.model.lane import Lane
from connector.settings import Settings
from connector.store import (
    alerts,
    api_calls,
    causes,
    conflicts,
    dead_letters,
    deliveries,
    job_runs,
    mapping_drifts,
    orgs,
    outages,
    reconcile_runs,
    workers,
)
from connector.store.engine import Connection, Store
from connector.store.queries.queue_ages import list_queue_ages

MOST_GROUPS = 10
"""Causes of dead letters that are told one by one."""
FORECAST = "forecast"
"""The subject of an alert that something will run out, so that it is told, too, when it has."""
OFTEN = timedelta(hours=1)
"""A job that runs more often is told of when it has failed for a while: the next run may succeed."""
FAILING_FOR = timedelta(minutes=5)

_OF_AN_ORG = {
    AlertRule.ORG_AWAY, AlertRule.STREAM_BEHIND, AlertRule.DELIVERIES, AlertRule.API_BUDGET, AlertRule.RECONCILE,
    AlertRule.MAPPING_DRIFT,
}  # fmt: skip
"""Rules about an org; the others are about all orgs of a database together."""
_MASKS = Redaction()
_WAITING_LANES = {lane.name.lower() for lane in Lane} - {Lane.BACKFILL.name.lower(), Lane.DEPRIORITIZED.name.lower()}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """One look at the database. `told`: the alerts that operators were told of and that are not over, by rule and
    subject."""

    connection: Connection
    now: datetime
    settings: Settings
    jobs: Sequence[JobDefinition]
    org_id: str | None
    is_away: bool
    told: Mapping[tuple[str, str], Alert]

    def has_told(self, rule: AlertRule, subject: str = "") -> bool:
        return (rule.value, subject) in self.told


async def list_all_conditions(store: Store, settings: Settings, jobs: Sequence[JobDefinition]) -> list[Condition]:
    """What holds now: of everything, and of each org besides the default one what is its own."""
    found = []
    for name in ["", *([] if settings.works_for_one_org else settings.orgs)]:
        async with (store.for_org(name) if name else store).reader() as connection:
            found += await list_conditions(connection, store.clock.now(), settings, jobs, org=name)
    return found


async def list_conditions(
    connection: Connection, now: datetime, settings: Settings, jobs: Sequence[JobDefinition], *, org: str = ""
) -> list[Condition]:
    """What holds now by the rules that are not turned off. What only follows from something else that is told, such as
    an outage of the org, is left out; but what was told before still holds. With `org`, which the connection works for,
    only what is its own; its name is in subjects and texts."""
    active, outage = await orgs.get_active(connection), await outages.get_current(connection)
    current = await alerts.list_current(connection)
    look = _Look(
        connection=connection,
        now=now,
        settings=settings,
        jobs=jobs,
        org_id=None if active is None else active.org_id,
        is_away=outage is not None,
        told={
            (alert.rule, _without_org(alert.subject, org)): _without_name(alert, org)
            for alert in current
            if alert.began_at is not None and (not org or alert.subject.partition(" ")[0] == org)
        },
    )
    rules = [rule for rule in _RULES if rule not in settings.alerts.rules_off and (not org or rule in _OF_AN_ORG)]
    found = [condition for rule in rules async for condition in _RULES[rule](look)]
    if not org:
        return found
    return [replace(item, subject=f"{org} {item.subject}".rstrip(), text=f"{_name(org)}{item.text}") for item in found]


def _name(org: str) -> str:
    return f"Org {org}: "


def _without_org(subject: str, org: str) -> str:
    return subject.removeprefix(org).removeprefix(" ") if org else subject


def _without_name(alert: Alert, org: str) -> Alert:
    return replace(alert, text=alert.text.removeprefix(_name(org))) if org else alert


async def _org_away(look: _Look) -> AsyncIterator[Condition]:
    outage = await outages.get_current(look.connection)
    away = timedelta(minutes=look.settings.alerts.org_away_minutes)
    if outage is not None and look.now - outage.since >= away:
        yield Condition(
            rule=AlertRule.ORG_AWAY,
            text=f"The org accepts nothing: {outage.message.rstrip('.')} ({outage.code}).",
            fix=outage.fix,
        )


async def _changes_wait(look: _Look) -> AsyncIterator[Condition]:
    longest = timedelta(minutes=look.settings.alerts.oldest_change_minutes)
    ages = [age for age in await list_queue_ages(look.connection) if age.lane in _WAITING_LANES]
    late = [age for age in ages if look.now - age.oldest >= longest]
    follows_from_outage = look.is_away or look.has_told(AlertRule.ORG_AWAY)
    if late and (not follows_from_outage or look.has_told(AlertRule.CHANGES_WAIT)):
        count, oldest = sum(age.count for age in late), min(age.oldest for age in late)
        yield Condition(
            rule=AlertRule.CHANGES_WAIT,
            text=f"Changes that wait to be sent: {count}, the oldest since {oldest:%Y-%m-%d %H:%M} UTC.",
            fix="See that a worker runs (GET /api/v1/workers) and that the job push is not paused.",
        )


async def _dead_letters(look: _Look) -> AsyncIterator[Condition]:
    """Causes that were told stay, whatever their number of dead letters; the most frequent new ones join them. A
    snoozed one is not told; when it is back, that is news."""
    groups = await dead_letters.group_by_cause(look.connection)
    known = await causes.list_open(look.connection) if groups else {}
    snoozed = {name for name, cause in known.items() if cause.snoozed_until is not None}
    for group in groups:
        if group.fingerprint in snoozed and known[group.fingerprint].is_back(group.count, look.now):
            yield Condition(
                rule=AlertRule.DEAD_LETTERS,
                subject=f"{group.fingerprint} back",
                text=f"Snoozed, and not over: the org refuses changes of the kind {group.entity.value}: {group.code}.",
                fix=f"{group.fix} `connector dead-letters list --by-cause` shows them.",
            )
    told = [group for group in groups if look.has_told(AlertRule.DEAD_LETTERS, group.fingerprint)]
    new = [group for group in groups if group not in told and group.fingerprint not in snoozed]
    room = max(MOST_GROUPS - len(told), 0)
    for group in told + new[:room]:
        where = f", {group.field}" if group.field else ""
        yield Condition(
            rule=AlertRule.DEAD_LETTERS,
            subject=group.fingerprint,
            text=f"The org refuses changes of the kind {group.entity.value}: {group.code}{where}.",
            fix=f"{group.fix} `connector dead-letters list --by-cause` shows them.",
        )
    if len(new) > room:
        yield Condition(
            rule=AlertRule.DEAD_LETTERS,
            subject="others",
            text="The org refuses changes for more causes than are told one by one.",
            fix="`connector dead-letters list --by-cause` shows them.",
        )


async def _conflicts(look: _Look) -> AsyncIterator[Condition]:
    if await conflicts.count_open(look.connection):
        yield Condition(
            rule=AlertRule.CONFLICTS,
            text="Fields that both sides changed wait for a decision.",
            fix="`connector conflicts list` shows them, `connector conflicts resolve` decides.",
        )


async def _stream_behind(look: _Look) -> AsyncIterator[Condition]:
    if look.org_id is None or not look.settings.inbound.listen:
        return
    hold = timedelta(minutes=look.settings.alerts.stream_behind_minutes)
    for topic in await list_topics(look.connection, look.org_id, [], look.now):
        if topic.kind in {TopicStatusKind.WAITING, TopicStatusKind.STOPPED}:
            why = topic.why or "No process listens."
            yield Condition(
                rule=AlertRule.STREAM_BEHIND,
                subject=topic.topic,
                text=f"{topic.topic} is not streamed: {why}",
                fix=topic.fix or "See that a listener runs (GET /api/v1/workers).",
                hold=hold,
            )


async def _deliveries(look: _Look) -> AsyncIterator[Condition]:
    if look.org_id is None:
        return
    policy = deliveries.policy_of(look.settings.inbound)
    for usage in await deliveries.usage(look.connection, look.org_id, look.now, policy):
        fix = "Narrow the filter of the channel, raise the org's allowance, or see who else receives its events."
        if usage.mode is DeliveryMode.POLL:
            yield Condition(
                rule=AlertRule.DELIVERIES,
                subject=usage.topic,
                text=f"The event deliveries of {usage.topic} are used up; its records are polled.",
                fix=fix,
            )
        forecast = None
        if usage.runs_out_at is not None:
            forecast = f"The event deliveries of {usage.topic} run out at {usage.runs_out_at:%Y-%m-%d %H:%M} UTC."
        is_polled = usage.mode is DeliveryMode.POLL
        for condition in _forecast(look, AlertRule.DELIVERIES, f"{usage.topic} {FORECAST}", forecast, fix, is_polled):
            yield condition


async def _api_budget(look: _Look) -> AsyncIterator[Condition]:
    """That they run out soon, that lanes pause, and that new or changed orders do are told apart: each is news."""
    if look.org_id is None:
        return
    policy, rule = api_calls.policy_of(look.settings.budget), AlertRule.API_BUDGET
    usage = await api_calls.usage(look.connection, look.org_id, look.now, policy)
    if usage.paused:
        text, fix = describe_pause(usage)
        told = look.told.get((rule.value, "paused"))
        if usage.paused[0] > Lane.NEW:
            yield Condition(rule=rule, subject="paused", text=text, fix=fix)
        else:
            which = "New orders" if usage.paused[0] is Lane.NEW else "New and changed orders"
            yield Condition(rule=rule, subject="orders", text=f"{which} wait. {text}", fix=fix)
            if told is not None:  # it still holds, and the other alert says more
                yield Condition(rule=rule, subject="paused", text=told.text, fix=told.fix)
    forecast = None
    if usage.runs_out_at is not None:
        forecast = f"At the present rate our API calls are used up at {usage.runs_out_at:%Y-%m-%d %H:%M} UTC."
    fix = "`connector status` shows which lane calls how often. Lanes pause by themselves, the lowest first."
    for condition in _forecast(look, rule, FORECAST, forecast, fix, bool(usage.paused)):
        yield condition


def _forecast(
    look: _Look, rule: AlertRule, subject: str, text: str | None, fix: str, has_come: bool
) -> Iterator[Condition]:
    """That something will run out. When it has, that is told, so a forecast does not begin; but one that was told came
    true, and is not over."""
    told = look.told.get((rule.value, subject))
    if text is not None and not has_come:
        yield Condition(rule=rule, subject=subject, text=text, fix=fix)
    elif told is not None and has_come:
        yield Condition(rule=rule, subject=subject, text=told.text, fix=told.fix)


async def _job_failed(look: _Look) -> AsyncIterator[Condition]:
    runs = await job_runs.latest(look.connection, [job.name for job in look.jobs])
    for job in look.jobs:
        run = runs.get(job.name)
        if run is None or run.state is not JobState.FAILED or job.name == "alerts":
            continue
        seconds = None if job.trigger is None else job.trigger.seconds
        often = job.continuous or (seconds is not None and timedelta(seconds=seconds) < OFTEN)
        yield Condition(
            rule=AlertRule.JOB_FAILED,
            subject=job.name,
            text=f"The job {job.name} failed: {_MASKS.mask(run.error or '')[:300]}",
            fix=run.fix or f"`connector jobs runs --job {job.name}` shows its runs.",
            hold=FAILING_FOR if often else timedelta(0),
        )


async def _reconcile(look: _Look) -> AsyncIterator[Condition]:
    run = None if look.org_id is None else await reconcile_runs.latest(look.connection, look.org_id)
    if run is not None and run.finished_at is not None and run.differing > run.healed:
        yield Condition(
            rule=AlertRule.RECONCILE,
            text=f"{run.differing - run.healed} of {run.total} entities differ from their records in the org.",
            fix="`connector reconcile --dry-run` lists them, `connector reconcile --heal` heals them.",
        )


async def _mapping_drift(look: _Look) -> AsyncIterator[Condition]:
    found = [] if look.org_id is None else await mapping_drifts.list_drifts(look.connection, look.org_id)
    for level, what in (("error", "will break or breaks"), ("warning", "may concern")):
        drifts = [item.drift for item in found if item.drift.level == level]
        if drifts:
            others = f" And {len(drifts) - 1} more." if len(drifts) > 1 else ""
            yield Condition(
                rule=AlertRule.MAPPING_DRIFT,
                subject=level,
                text=f"A change in the org {what} the mappings: {drifts[0].text}{others}",
                fix="`connector mappings drift` lists the changes with the lines that they concern.",
            )


async def _role_failed(look: _Look) -> AsyncIterator[Condition]:
    for role, error in (await workers.list_troubles(look.connection, look.now)).items():
        yield Condition(
            rule=AlertRule.ROLE_FAILED,
            subject=role,
            text=f"The {role} of a process fails, and begins anew by itself: {_MASKS.mask(error)}",
            fix="The log of the process says more.",
        )


_RULES: dict[AlertRule, Callable[[_Look], AsyncIterator[Condition]]] = {
    AlertRule.ORG_AWAY: _org_away,
    AlertRule.CHANGES_WAIT: _changes_wait,
    AlertRule.DEAD_LETTERS: _dead_letters,
    AlertRule.CONFLICTS: _conflicts,
    AlertRule.STREAM_BEHIND: _stream_behind,
    AlertRule.DELIVERIES: _deliveries,
    AlertRule.API_BUDGET: _api_budget,
    AlertRule.JOB_FAILED: _job_failed,
    AlertRule.RECONCILE: _reconcile,
    AlertRule.ROLE_FAILED: _role_failed,
    AlertRule.MAPPING_DRIFT: _mapping_drift,
}
