"""Metrics in the form of Prometheus, read from the database when they are asked for.

All processes on a database say the same of the queues; what a process says of itself (`process_…`, roles, and what
`connector.metrics` counts and measures) is its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from connector.inbound.inbound_status import load_inbound_status
from connector.inbound.topic_status import TopicStatus, TopicStatusKind
from connector.jobs.role_supervisor import RoleState
from connector.metrics import COUNTERS, HISTOGRAMS
from connector.model.allowances import AllowancePolicies
from connector.model.api_budget import BudgetPolicy
from connector.model.change import ChangeState
from connector.model.deliveries import DeliveryPolicy
from connector.model.hourly_counts import DAY
from connector.model.job_run import JobState
from connector.model.lane import CALL_LANES
from connector.store import (
    alerts,
    api_calls,
    job_runs,
    job_schedules,
    orders,
    orgs,
    outages,
    outbox_counts,
    reconcile_runs,
    resyncs,
)
from connector.store.engine import Connection, Store
from connector.store.queries.queue_ages import list_queue_ages
from connector.store.queries.waiting import list_waiting
from connector.store.scope import DEFAULT

CONTENT_TYPE = CONTENT_TYPE_LATEST

_Samples = list[tuple[tuple[str, ...], float]]
"""Values with those of their labels."""


class _Gauges:
    """Gauges of one answer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(Measured())

    def add(self, name: str, text: str, values: Iterable[tuple[Sequence[str], float]], labels: Sequence[str]) -> None:
        gauge = Gauge(f"connector_{name}", text, labels, registry=self.registry)
        for names, value in values:
            (gauge.labels(*names) if labels else gauge).set(value)


class Measured:
    """What this process has counted and measured since it began."""

    def collect(self) -> Iterator[Metric]:
        for counter in COUNTERS:
            family = CounterMetricFamily(f"connector_{counter.name}", counter.text, labels=counter.labels)
            for labels, count in counter.values.items():
                family.add_metric(labels, count)
            yield family
        for histogram in HISTOGRAMS:
            measured = HistogramMetricFamily(f"connector_{histogram.name}", histogram.text, labels=histogram.labels)
            ends = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
            for labels, counts in histogram.counts.items():
                buckets = [(end, float(count)) for end, count in zip(ends, accumulate(counts), strict=True)]
                measured.add_metric(labels, buckets, histogram.sums[labels])
            yield measured


async def render_metrics(
    store: Store, policies: AllowancePolicies, roles: Sequence[RoleState], jobs: Sequence[str]
) -> bytes:
    """The metrics as text; `jobs` are those of the service. Raises StoreError if the database is away."""
    gauges, now = _Gauges(), store.clock.now()
    gauges.add("role_up", "1 if the role of this process runs.", [((s.role,), s.up) for s in roles], ["role"])
    gauges.add("role_restarts", "How often the role began anew.", [((s.role,), s.restarts) for s in roles], ["role"])
    async with store.reader() as connection:
        await _add_outbound(gauges, connection, now)
        await _add_inbound(gauges, connection, now, policies.deliveries)
        await _add_jobs(gauges, connection, now, jobs)
    await _add_orgs(gauges, store, now, policies.calls)
    return generate_latest(gauges.registry)


async def _add_outbound(gauges: _Gauges, connection: Connection, now: datetime) -> None:
    stages = await orders.counts(connection)
    gauges.add("orders", "Orders by stage.", [((stage.value,), count) for stage, count in stages.items()], ["stage"])
    ages = await list_queue_ages(connection)
    by_lane = ["entity", "lane"]
    gauges.add(
        "outbox_changes", "Changes that wait to be sent.", [((a.entity, a.lane), a.count) for a in ages], by_lane
    )
    gauges.add(
        "outbox_oldest_seconds",
        "Age of the oldest change that waits to be sent.",
        [((a.entity, a.lane), max(0.0, (now - a.oldest).total_seconds())) for a in ages],
        by_lane,
    )
    waiting = await list_waiting(connection)
    gauges.add(
        "waiting", "What waits, by stage.", [((stage,), item.count) for stage, item in waiting.items()], ["stage"]
    )
    ages_of_stages = [
        ((stage,), 0.0 if item.oldest is None else max(0.0, (now - item.oldest).total_seconds()))
        for stage, item in waiting.items()
    ]
    gauges.add("waiting_seconds", "Age of the oldest that waits, by stage.", ages_of_stages, ["stage"])
    unsent = await outbox_counts.counts(connection)
    refused = [((kind.value,), states[ChangeState.DEAD]) for kind, states in unsent.items()]
    gauges.add("dead_letters", "Changes that were refused, and wait for a person.", refused, ["entity"])


async def _add_orgs(gauges: _Gauges, store: Store, now: datetime, policy: BudgetPolicy) -> None:
    """The outage and the API budget of each org, with its name as a label if the database serves several."""
    names = [DEFAULT]
    if store.org is None:
        async with store.reader() as connection:
            names += await orgs.list_named(connection)
    values: dict[str, _Samples] = {}
    for name in names:
        by_org = (name,) if store.org is None else ()
        async with (store.for_org(name) if by_org else store).reader() as connection:
            for metric, samples in (await _read_org(connection, now, policy)).items():
                values.setdefault(metric, []).extend(((*by_org, *labels), value) for labels, value in samples)
    labels = ["org"] if store.org is None else []
    for metric, (text, more) in _OF_ORGS.items():
        if metric in values:
            gauges.add(metric, text, values[metric], [*labels, *more])


async def _read_org(connection: Connection, now: datetime, policy: BudgetPolicy) -> dict[str, _Samples]:
    outage = await outages.get_current(connection)
    since = 0.0 if outage is None else (now - outage.since).total_seconds()
    values: dict[str, _Samples] = {"org_outage": [((), outage is not None)], "org_outage_seconds": [((), since)]}
    org = await orgs.get_active(connection)
    if org is None:
        return values
    usage = await api_calls.usage(connection, org.org_id, now, policy)
    calls = Counter[tuple[str, ...]]()
    for (hour, lane, result), number in (await api_calls.counts(connection, org.org_id, now)).items():
        if hour > now - DAY:
            calls[lane.word, result.value] += number
    values["api_calls"] = list(calls.items())
    numbers = {"used": usage.used, "allowed": usage.allowed, "reserve": usage.reserve, "left": usage.left}
    values |= {f"api_budget_{name}": [((), value)] for name, value in numbers.items() if value is not None}
    values["api_lane_paused"] = [((lane.word,), lane in usage.paused) for lane in CALL_LANES]
    return values


_OF_ORGS: Mapping[str, tuple[str, Sequence[str]]] = {
    "org_outage": ("1 while the org accepts nothing.", []),
    "org_outage_seconds": ("For how long the org has accepted nothing.", []),
    "api_calls": ("Our API calls of the last 24 hours.", ["lane", "result"]),
    "api_budget_used": ("API calls of the last 24 hours by all apps, as the org counts them.", []),
    "api_budget_allowed": ("API calls that the org allows in 24 hours.", []),
    "api_budget_reserve": ("API calls that are left to the org's other apps.", []),
    "api_budget_left": ("API calls that we may still make.", []),
    "api_lane_paused": ("1 while a lane makes no calls, to save the budget.", ["lane"]),
}
"""Metrics of an org, with their texts and labels."""


async def _add_inbound(gauges: _Gauges, connection: Connection, now: datetime, policy: DeliveryPolicy) -> None:
    org = await orgs.get_active(connection)
    status = await load_inbound_status(connection, None if org is None else org.org_id, now, policy)
    gauges.add("conflicts_open", "Fields that both sides changed, and a person decides.", [((), status.conflicts)], [])
    gauges.add("inbox_parked", "Records of the org that could not be applied.", [((), status.parked)], [])
    by_topic = ["topic"]
    used = [((usage.topic,), usage.used or 0) for usage in status.deliveries]
    gauges.add("deliveries_used", "Event deliveries of the day, as the org counts them.", used, by_topic)
    allowed = [((usage.topic,), usage.allowed or 0) for usage in status.deliveries]
    gauges.add("deliveries_allowed", "Event deliveries that the org allows in a day.", allowed, by_topic)
    if status.events is not None:
        events = status.events
        _add_topics(gauges, events.topics, now)
        gauges.add("events_unpublished", "Our events that wait to be published.", [((), events.unpublished)], [])
        gauges.add("events_refused", "Our events that the org refused.", [((), events.refused)], [])
        gauges.add("actions_parked", "Actions of reps that could not be handled.", [((), events.parked_actions)], [])
    latest = None if org is None else await reconcile_runs.latest(connection, org.org_id)
    if latest is not None and latest.finished_at is not None:
        age = (now - latest.finished_at).total_seconds()
        gauges.add("reconciled_seconds", "Age of the latest comparison of everything.", [((), age)], [])
        gauges.add("reconciled_differing", "Entities that differed in it.", [((), latest.differing)], [])


def _add_topics(gauges: _Gauges, topics: Sequence[TopicStatus], now: datetime) -> None:
    read = [topic for topic in topics if not topic.published]
    streamed = [((topic.topic,), topic.kind is TopicStatusKind.LISTENING) for topic in read]
    gauges.add("stream_up", "1 while the topic is streamed by some process.", streamed, ["topic"])
    positions = [
        ((topic.topic,), (now - topic.position_at).total_seconds()) for topic in read if topic.position_at is not None
    ]
    text = "Age of the stored position; the org forgets positions after 72 hours."
    gauges.add("stream_position_seconds", text, positions, ["topic"])


async def _add_jobs(gauges: _Gauges, connection: Connection, now: datetime, jobs: Sequence[str]) -> None:
    runs = await job_runs.latest(connection, jobs)
    by_job = ["name"]  # Prometheus has a label `job` of its own
    gauges.add(
        "job_failed",
        "1 if the latest run of the job failed or was interrupted.",
        [((name,), run.state in {JobState.FAILED, JobState.INTERRUPTED}) for name, run in runs.items()],
        by_job,
    )
    gauges.add(
        "job_run_seconds", "How long the latest run took.", [((n,), r.seconds or 0) for n, r in runs.items()], by_job
    )
    paused = {job.name for job in await job_schedules.list_paused(connection)}
    gauges.add("job_paused", "1 while a person has paused the job.", [((n,), n in paused) for n in jobs], by_job)
    ended = [((name,), (now - run.ended_at).total_seconds()) for name, run in runs.items() if run.ended_at is not None]
    gauges.add("job_ended_seconds", "For how long the latest run has ended.", ended, by_job)
    told = [alert.rule for alert in await alerts.list_page(connection, is_open=True, limit=1000)]
    open_alerts = [((rule,), told.count(rule)) for rule in sorted(set(told))]
    gauges.add("alerts_open", "Alerts that are open, by rule.", open_alerts, ["rule"])
    active = await resyncs.list_active(connection)
    left = [((str(item.id),), item.total - item.done) for item in active]
    gauges.add("resync_left", "Entities that a resync has still to work on.", left, ["resync"])
