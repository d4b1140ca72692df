"""Brings back what changed in the org, and says what came of it.

Each object is polled by one process at a time, under a lease; its cursor moves in the transaction that applies what was
read. Then the inbox is worked off: records that events named, and those that were read while a write of ours was in
flight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.inbound.context import ApplyReport
from connector.inbound.intake import IntakeReport
from connector.inbound.poll import PollReport
from connector.inbound.topic_status import TopicStatusKind, list_topics
from connector.jobs.inbound_run import InboundJobContext, InboundRun
from connector.model.deliveries import DeliveryUsage
from connector.model.inbound_change import InboxState
from connector.model.record_change import RecordChange
from connector.store import conflicts, deliveries, inbox


@dataclass(kw_only=True)
class PullSummary:
    """What a pull came to. `elsewhere` are objects that another process was polling. `reads` are the data API calls
    that it made; `deliveries`: what listeners have used of the org's delivery allowance; `streamed`: topics that one
    listens to now. `filter_problem`: why the filter of adoptions cannot be used.

    Of a dry run, everything is what a pull would come to. `changes` are listed; `not_looked_at` are changed records
    beyond those that it looks at."""

    dry_run: bool = False

    polls: list[PollReport] = field(default_factory=list)
    intake: IntakeReport = field(default_factory=IntakeReport)
    elsewhere: list[str] = field(default_factory=list)
    reads: int = 0
    open_conflicts: int = 0
    parked: int = 0
    waiting: int = 0
    deliveries: list[DeliveryUsage] = field(default_factory=list)
    streamed: frozenset[str] = frozenset()
    filter_problem: str = ""
    seconds: float = 0.0
    not_looked_at: int = 0

    @property
    def changes(self) -> list[RecordChange]:
        """What changes, record by record, if that was to be listed."""
        return self.applied.changes

    @property
    def applied(self) -> ApplyReport:
        """What became of all records together."""
        total = ApplyReport()
        for poll in self.polls:
            total.add(poll.applied)
        total.add(self.intake.applied)
        return total

    @property
    def in_sync(self) -> bool:
        """Whether nothing waits: no conflict, nothing parked, nothing to be read again, no setting to be
        corrected."""
        return not (self.open_conflicts or self.parked or self.waiting or self.filter_problem)


async def pull(context: InboundJobContext, sobjects: Sequence[str] | None = None) -> PullSummary:
    """Poll these objects, or all, apply what changed, and work off the inbox.

    Raises OtherOrgError if another org answers, MappingError if the mappings do not fit the org, AuthError if the org
    lets nobody in, RefusedError or TransportError if it does not answer a query, ApiBudgetError if the API budget does
    not allow all calls: what was read is applied by then, and the next pull goes on there.
    """
    store, client = context.store, context.client
    started = store.clock.now()
    before = client.calls_made
    run = await InboundRun.begin(context)
    org_id = run.org_id
    summary = PullSummary(filter_problem=str(run.filter_problem or ""))
    wanted = sobjects or run.sobjects
    summary.polls = await run.poll(wanted)
    polled = {report.sobject for report in summary.polls}
    summary.elsewhere = [sobject for sobject in wanted if sobject not in polled]
    summary.intake = await run.intake()
    for report in summary.polls:
        if report.paused is not None:
            raise report.paused
    summary.reads = client.calls_made.reads - before.reads
    await count_open_work(summary, context, org_id)
    summary.seconds = (store.clock.now() - started).total_seconds()
    return summary


async def count_open_work(summary: PullSummary, context: InboundJobContext, org_id: str) -> None:
    """Count what waits after a pull: conflicts and the inbox."""
    store = context.store
    async with store.reader() as connection:
        counts = await inbox.counts(connection, org_id)
        summary.open_conflicts = await conflicts.count_open(connection)
        policy = deliveries.policy_of(context.settings.inbound)
        now = store.clock.now()
        summary.deliveries = await deliveries.usage(connection, org_id, now, policy)
        topics = await list_topics(connection, org_id, summary.deliveries, now)
        summary.streamed = frozenset(item.topic for item in topics if item.kind is TopicStatusKind.LISTENING)
    summary.parked, summary.waiting = counts[InboxState.PARKED], counts[InboxState.DUE]
