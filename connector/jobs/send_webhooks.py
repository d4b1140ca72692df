"""Posts the change notices that are due to the company's webhook, and stores what became of each.

One process sends at a time, by a lease. Several entities are sent for at once, the notices of one entity one after the
other. A process that stops between a post and its record posts the notice again, with the same message ID.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.clock import Clock
from connector.errors import DeliveryError, LeaseLostError, RetryClass
from connector.jobs.held_lease import HeldLease, LeaseHolder
from connector.log import get_logger, trace
from connector.model.change_notice import ChangeNotice, NoticeState
from connector.settings import Settings
from connector.store import change_notices
from connector.store.change_notices import NoticeOutcome
from connector.store.engine import Store
from connector.webhooks.poster import WebhookPoster

LEASE = "webhooks"
BATCH = 50
BATCH_SECONDS = 20.0
"""The seconds of a batch in which attempts may start, so that a batch ends before its lease."""
MAX_BATCHES = 200
"""Batches of one run; further notices wait for the next run."""
CONCURRENCY = 8
"""Entities whose notices are sent at the same time."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0
"""Seconds until the next attempt, doubled with each one."""
CONFIG_WAIT = 60.0
"""Seconds until the next attempt if the address or the secret is wrong."""
SETTINGS_HINT = "Set CONNECTOR_WEBHOOKS__URL and CONNECTOR_WEBHOOKS__SECRETS to those of the receiver."

FAULT = "The notice could not be posted, because of an error in the connector. See the log."

log = get_logger("webhooks")


@dataclass(kw_only=True)
class WebhookReport:
    """What one run came to; `stopped` is the reason if it ended early."""

    sent: int = 0
    postponed: int = 0
    failed: int = 0
    stopped: str | None = None

    def __bool__(self) -> bool:
        return bool(self.sent or self.postponed or self.failed or self.stopped)


class NoticeSender:
    """Sends for one process. After a fault of the endpoint it pauses, and tells the same fault once."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._webhooks = settings.webhooks
        ttl = BATCH_SECONDS + settings.webhooks.timeout_seconds + settings.sync.lease_seconds
        self._holder = LeaseHolder(store=store, ttl=ttl)
        self._paused_until: datetime | None = None
        self._faults = 0
        """Of the endpoint, in a row."""

    async def send(self, *, at_once: bool = False) -> WebhookReport:
        """Send what is due. `at_once`: also while this process pauses after a fault of the endpoint."""
        report, clock = WebhookReport(), self._store.clock
        if self._paused_until is not None and clock.now() < self._paused_until and not at_once:
            return report
        async with self._store.reader() as connection:
            if not await change_notices.list_due(connection, clock.now(), 1):
                return report
        async with self._holder.holding(LEASE, "posts notices") as lease:
            if lease is None:
                return report
            async with self._store.transaction() as uow:
                report.failed += await change_notices.expire(uow, timedelta(hours=self._webhooks.expire_hours))
            try:
                await self._send_batches(lease, report)
            except LeaseLostError as error:  # its holder sends the batch again, and records that
                log.warning("lease_lost", error=error.message)
        return report

    async def _send_batches(self, lease: HeldLease, report: WebhookReport) -> None:
        poster = WebhookPoster(
            self._webhooks.url,
            self._webhooks.keys,
            clock=self._store.clock,
            timeout_seconds=self._webhooks.timeout_seconds,
            settings_hint=SETTINGS_HINT,
        )
        async with poster:
            for _ in range(MAX_BATCHES):
                async with self._store.reader() as connection:
                    due = await change_notices.list_due(connection, self._store.clock.now(), BATCH)
                if not due:
                    return
                async with self._store.transaction() as uow:
                    await lease.renew(uow)
                batch = _Batch(poster, self._store.clock)
                await batch.send(due)
                async with self._store.transaction() as uow:
                    await lease.check(uow)
                    await change_notices.settle(uow, batch.outcomes)
                self._count(batch, report)
                if batch.fault is not None:
                    report.stopped = str(batch.fault)
                    return
                self._faults = 0
                self._paused_until = None

    def _count(self, batch: _Batch, report: WebhookReport) -> None:
        for outcome in batch.outcomes:
            match outcome.state:
                case NoticeState.SENT:
                    report.sent += 1
                case NoticeState.FAILED:
                    report.failed += 1
                case NoticeState.DUE:
                    report.postponed += 1
        if batch.fault is not None:
            self._faults += 1
            pause = batch.fault.wait or min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self._faults - 1, 20))
            if batch.fault.retry_class is RetryClass.CONFIG:
                pause = max(pause, CONFIG_WAIT)
            self._paused_until = self._store.clock.now() + timedelta(seconds=pause)


class _Batch:
    """Some due notices: the outcome of each attempt, and the `fault` of the endpoint that ended it early."""

    def __init__(self, poster: WebhookPoster, clock: Clock) -> None:
        self._poster = poster
        self._clock = clock
        self._no_more_after = clock.now() + timedelta(seconds=BATCH_SECONDS)
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self.outcomes: list[NoticeOutcome] = []
        self.fault: DeliveryError | None = None

    async def send(self, notices: Sequence[ChangeNotice]) -> None:
        by_entity: dict[tuple[str, str], list[ChangeNotice]] = {}
        for notice in notices:
            by_entity.setdefault((notice.entity, notice.key), []).append(notice)
        async with asyncio.TaskGroup() as tasks:
            for some in by_entity.values():
                tasks.create_task(self._send_in_turn(some))
        if self.fault is None and self.outcomes and all(item.state is NoticeState.DUE for item in self.outcomes):
            # Every attempt failed for now: the cause is hardly in the notices.
            error = next(item.error for item in self.outcomes if item.error)
            self.fault = DeliveryError(error, retry_class=RetryClass.TRANSIENT, affects_all=True)

    async def _send_in_turn(self, notices: Sequence[ChangeNotice]) -> None:
        """Send the notices of one entity, up to one that has to be sent again."""
        async with self._slots:
            for notice in notices:
                if self.fault is not None or self._clock.now() >= self._no_more_after:
                    return
                outcome = await self._attempt(notice)
                self.outcomes.append(outcome)
                if outcome.state is NoticeState.DUE:
                    return

    async def _attempt(self, notice: ChangeNotice) -> NoticeOutcome:
        try:
            await self._poster.post(notice.message_id, notice.body.encode())
        except Exception as problem:
            # What is no DeliveryError is a fault of ours: the outcomes of the others are recorded all the same.
            if not isinstance(problem, DeliveryError):
                log.error("internal_error", notice=notice.id, exception=trace(problem))
            error = (
                problem if isinstance(problem, DeliveryError) else DeliveryError(FAULT, retry_class=RetryClass.UNKNOWN)
            )
            if error.affects_all:
                self.fault = error
            elif error.retry_class is RetryClass.DATA:
                log.warning("notice_failed", notice=notice.id, type=notice.type, key=notice.key, why=str(error))
                return NoticeOutcome(id=notice.id, state=NoticeState.FAILED, error=str(error))
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(notice.attempts, 20))
            # With a jitter of 25 %, so that notices that failed together are not sent again together.
            wait = max(wait * (0.75 + self._clock.jitter() / 2), error.wait or 0.0)
            due_at = self._clock.now() + timedelta(seconds=wait)
            return NoticeOutcome(id=notice.id, state=NoticeState.DUE, error=str(error), due_at=due_at)
        return NoticeOutcome(id=notice.id, state=NoticeState.SENT)
