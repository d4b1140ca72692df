"""What a pull would do, record by record and field by field, without doing it.

First everything is read from the org, without a transaction; of what a poll reads, only the records are kept that could
change something here. Then the pull applies them by the same code, in a transaction that is rolled back. If it needs
something of the org that has not been read yet (records of the inbox, orders that would be adopted), it ends, that is
read, and it runs again. So no transaction is open while the org is asked, and on SQLite nobody waits for the network.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from connector.clock import RepeatableClock
from connector.inbound.context import ApplyReport
from connector.inbound.inbound_org import ReplayedOrg, UnansweredError
from connector.inbound.poll import APPLY_AT_ONCE, PollReport, PollTurn
from connector.inbound.poll_target import PollTarget
from connector.inbound.record_reader import RecordReader
from connector.jobs.inbound_run import InboundJobContext, InboundRun
from connector.jobs.pull import PullSummary, count_open_work
from connector.model.inbound_change import RemoteRecord
from connector.salesforce.query import soql
from connector.salesforce.query_batch import query_together
from connector.salesforce.replication import DeletedRecords, read_deleted
from connector.store import inbox
from connector.store.dry_run import ORG_TABLES, dry_run, sync_dry_run
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork

MAX_CHANGED = 1000
"""Changed records that are looked at. On SQLite, other writers wait while they are applied; the rest is counted."""
MAX_INBOX_BATCHES = 5
"""Each is up to 200 records of the inbox."""


async def pull_dry_run(context: InboundJobContext) -> PullSummary:
    """What `pull` would come to now. Nothing is stored: no cursor, no record of the inbox, no link. Raises what `pull`
    raises."""
    store, client = context.store, context.client
    started, before = store.clock.now(), client.calls_made
    async with sync_dry_run(store, ORG_TABLES) as snapshot:
        run = await InboundRun.begin(context, store=snapshot)
    polls = await _Polls(run, context).read()
    org, now = ReplayedOrg(client), store.clock.now()
    while True:  # bounded: each time, one more request has its answer
        try:
            async with dry_run(store, clock=RepeatableClock(store.clock, now)) as scratch:
                scratched = replace(context, store=scratch, orders=context.orders.with_store(scratch))
                again = InboundRun(
                    scratched,
                    run.org_id,
                    run.profile,
                    adopt_since=run.adopt_since,
                    mappings=run.mappings,
                    dry_run=org,
                )
                summary = await _apply(scratched, again, polls)
            break
        except UnansweredError:
            await org.ask()
    summary.filter_problem = str(run.filter_problem or "")
    summary.reads = client.calls_made.reads - before.reads
    summary.seconds = (store.clock.now() - started).total_seconds()
    return summary


@dataclass(frozen=True, kw_only=True)
class _ReadPoll:
    """What the poll of one object read: the records that could change something, together with what they were merged
    into, and those that were deleted. `others` counts the rest."""

    turn: PollTurn
    report: PollReport
    batches: list[list[RemoteRecord]]
    deleted: DeletedRecords | None
    others: ApplyReport
    not_looked_at: int


async def _apply(context: InboundJobContext, run: InboundRun, polls: list[_ReadPoll]) -> PullSummary:
    """What the pull does after it has read."""
    store: Store = context.store
    summary = PullSummary(dry_run=True, not_looked_at=sum(poll.not_looked_at for poll in polls))
    async with store.transaction() as uow:
        await inbox.retry_parked(uow, run.org_id)
    for poll in polls:
        applied = ApplyReport()
        applied.add(poll.others)
        for batch in poll.batches:
            applied.add(await run.applier.apply(batch))
        summary.polls.append(replace(poll.report, applied=applied))
    for poll in polls:
        if poll.deleted is not None:
            async with store.transaction() as uow:
                await run.poller().note_unseen(uow, poll.turn, poll.deleted)
    summary.intake = await run.intake(MAX_INBOX_BATCHES)
    await count_open_work(summary, context, run.org_id)
    return summary


class _Polls:
    """Reads what a poll of all objects reads, without a lease, and moves no cursor."""

    def __init__(self, run: InboundRun, context: InboundJobContext) -> None:
        self._run = run
        self._store = context.store
        self._client = context.client
        self._room = MAX_CHANGED

    async def read(self) -> list[_ReadPoll]:
        run, poller, since = self._run, self._run.poller(), await self._run.first_watermark()
        targets = [run.targets[sobject] for sobject in run.sobjects]
        turns = [await poller.begin(target, since=since, hold_lease=_no_lease) for target in targets]
        read_at = self._store.clock.now()
        pages, deleted = await query_together(
            self._client,
            [turn.query for turn in turns],
            include_deleted=True,
            besides=[turn.deleted_request for turn in turns],
        )
        polls = []
        for turn, rows, outcome in zip(turns, pages, deleted, strict=True):
            report = PollReport(sobject=turn.target.sobject, overlap=turn.watermark.overlap)
            async with aclosing(poller.read(turn, rows, report, read_at=read_at)) as read:
                polls.append(await self._select(turn, report, read, read_deleted(outcome)))
        return polls

    async def _select(
        self,
        turn: PollTurn,
        report: PollReport,
        pages: AsyncIterator[list[RemoteRecord]],
        deleted: DeletedRecords | None,
    ) -> _ReadPoll:
        target = turn.target
        chooser = self._run.applier.changed_records(target.describe)
        batches: list[list[RemoteRecord]] = []
        others, beyond = ApplyReport(), 0
        watermark = turn.watermark
        async for page in pages:
            for start in range(0, len(page), APPLY_AT_ONCE):
                batch = page[start : start + APPLY_AT_ONCE]
                watermark = watermark.advanced(batch)
                report.deleted += sum(record.deleted for record in batch)
                async with self._store.reader() as connection:
                    changed = await chooser.select(connection, batch, others)
                kept, rest = changed[: self._room], changed[self._room :]
                self._room -= len(kept)
                beyond += len(rest)
                if kept:
                    batches.append(await self._with_masters(target, kept))
        report.watermark, report.overlap = watermark.at, watermark.overlap
        return _ReadPoll(
            turn=turn, report=report, batches=batches, deleted=deleted, others=others, not_looked_at=beyond
        )

    async def _with_masters(self, target: PollTarget, records: list[RemoteRecord]) -> list[RemoteRecord]:
        return await RecordReader(self._client, soql, self._store.clock).with_masters(target, records)


async def _no_lease(_: UnitOfWork) -> None:
    """Nothing is stored, so another process may poll as well."""
