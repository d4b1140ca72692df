"""Publishes the events of the outbox to the org: answers to actions, and the stages and holds of orders.

One process publishes at a time, so that the stages of an order arrive in their sequence, and the answers too: a call
carries one event of each order at most, because the org takes or refuses each event by itself. What the org has taken
is deleted in a transaction under the lease; a process that is killed before it publishes the same events again, with
the same IDs.

    limit of the hour used up    everything stays due, and is tried again by a growing interval
    no such event in the org     its events are discarded, the log and `connector status` say so once; looked for again
                                 every five minutes
    one event is refused         tried again by a growing interval, its order's later ones wait; after twelve attempts
                                 it is given up until a person replays it
    the call fails               everything stays due
    the session is refused       it signs in again at once, but only the first time: Salesforce blocks a user's sign-ins
                                 if there are too many, and then pulls and pushes stop too
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from connector.errors import SalesforceError
from connector.inbound.topic_cursor import PUBLISHED_STATE
from connector.jobs.held_lease import HeldLease
from connector.jobs.inbound_run import InboundJobContext
from connector.jobs.lease_job import LeaseJob
from connector.jobs.org_identity import confirm_org
from connector.log import StateLog, get_logger
from connector.model.listening_state import ListeningState, TopicActivity
from connector.model.outgoing_event import OutgoingEvent
from connector.model.platform_event import ORDER_ACTION_RESULT, ORDER_STATUS, topic_of
from connector.salesforce.pubsub.errors import SessionExpiredError, TopicUnavailableError
from connector.salesforce.pubsub.publishing import EVENTS_PER_CALL, EventPublisher, PublishRefusal
from connector.salesforce.pubsub.subscription import PubSubClient
from connector.store import cursors, journal, outgoing_events
from connector.store.journal import JournalEntry
from connector.store.unit_of_work import UnitOfWork

LOOK_SECONDS = 0.5
"""How often the outbox is looked at without being told: other processes write to it too."""
MISSING_PAUSE = timedelta(minutes=5)
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 900.0
LONGEST_FAILURE_PAUSE = 60.0
"""Seconds between attempts: after a limit, and after a call that failed."""
PUBLISHED = (ORDER_ACTION_RESULT, ORDER_STATUS)
"""What is published, each by itself: a person waits for an answer, and should not wait for the stages before it."""
MAX_ATTEMPTS = 12
"""About an hour and a half of attempts."""

STOP_SECONDS = 5.0
"""How long a call that is under way may take when the process ends."""

T = TypeVar("T")

log = get_logger(__name__)


def publish_lease(org_id: str) -> str:
    """The name of the lease of the publisher."""
    return f"publish:{org_id}"


@dataclass(kw_only=True)
class PublishStats:
    """What a publisher has done since it began, in events; `calls` are calls of the Pub/Sub API."""

    published: int = 0
    calls: int = 0
    postponed: int = 0
    refused: int = 0
    discarded: int = 0


class PublishJob(LeaseJob):
    """Publishes until it is canceled. `wake`: set when the outbox has new events of an object, by its name."""

    def __init__(self, context: InboundJobContext) -> None:
        super().__init__(context, "publisher of events")
        self._org_id = ""
        self._absent: dict[str, datetime] = {}
        """Objects that the org does not have, and when they are looked for again."""
        self._confirmed: set[str] = set()
        """Objects that were published to, and `connector status` knows it."""
        self.wake = {name: asyncio.Event() for name in PUBLISHED}
        self.stats = PublishStats()

    async def begin(self) -> tuple[str, str]:
        self._org_id = await confirm_org(self.context.store, self.context.client, self.context.settings)
        return publish_lease(self._org_id), "publishes events"

    async def work(self, lease: HeldLease) -> None:
        endpoint = self.context.settings.salesforce.pubsub_endpoint
        async with PubSubClient(endpoint, self.context.client.tokens) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(lease.keep())
            for name in PUBLISHED:
                tasks.create_task(self._publish_all(name, client, lease))

    async def _publish_all(self, name: str, client: PubSubClient, lease: HeldLease) -> None:
        publisher = EventPublisher(client, self.context.client.user_id)
        failures, longest, refused_sessions = 0, LONGEST_PAUSE, 0
        state = StateLog(log, "events not published", "events are published again", name=name)
        while True:
            try:
                failures = 0 if await _to_the_end(self._drain(name, publisher, lease)) else failures + 1
                longest, refused_sessions = LONGEST_PAUSE, 0
                state.work()
            except SessionExpiredError as error:
                await client.renew_session()
                refused_sessions += 1
                if refused_sessions == 1:
                    continue
                state.fail(f"The new session is refused too: {error.message}")
                failures, longest = failures + 1, LONGEST_PAUSE
            except SalesforceError as error:
                state.fail(error.message, hint=error.hint)
                failures, longest = failures + 1, LONGEST_FAILURE_PAUSE
            if failures:
                await self.context.store.clock.sleep(min(FIRST_PAUSE * 2 ** min(failures - 1, 16), longest))
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.wake[name].wait()
            self.wake[name].clear()

    async def _drain(self, name: str, publisher: EventPublisher, lease: HeldLease) -> bool:
        """Publish what is due of one object. Returns False if the org takes no more events in this hour."""
        store = self.context.store
        while True:
            now = store.clock.now()
            async with store.single_reader() as connection:
                chosen = await outgoing_events.list_due(connection, self._org_id, name, now=now, limit=EVENTS_PER_CALL)
            if not chosen:
                return True
            if chosen[0].captured_at < now - outgoing_events.KEPT:
                await self._expire(lease)
                continue
            if not await self._publish(publisher, lease, name, chosen):
                return False

    async def _publish(
        self, publisher: EventPublisher, lease: HeldLease, name: str, events: Sequence[OutgoingEvent]
    ) -> bool:
        """Publish events of one object. Returns False if the org takes no more events in this hour."""
        now = self.context.store.clock.now()
        if self._absent.get(name, now) > now:
            await self._discard(lease, name)
            return True
        try:
            self.stats.calls += 1
            outcomes = await publisher.publish(
                topic_of(name), [(item.event.id, item.event.fields) for item in events], now
            )
        except TopicUnavailableError as error:
            if name not in self._absent:
                log.warning("event cannot be published", name=name, error=error.message, hint=error.hint)
            self._absent[name] = now + MISSING_PAUSE
            self._confirmed.discard(name)
            await self._note_state(lease, name, error)
            await self._discard(lease, name, error)
            return True
        if name not in self._confirmed:
            self._absent.pop(name, None)
            await self._note_state(lease, name, None)
            self._confirmed.add(name)
        await self._record(lease, list(zip(events, outcomes, strict=True)))
        return not any(outcome is not None and outcome.is_limit for outcome in outcomes)

    async def _record(self, lease: HeldLease, results: Sequence[tuple[OutgoingEvent, PublishRefusal | None]]) -> None:
        """Delete what the org has taken, and postpone or refuse what it has not; a limit leaves events as they are."""
        taken = [event.number for event, refusal in results if refusal is None]
        async with self.context.store.transaction() as uow:
            await lease.check(uow)
            await outgoing_events.settle(uow, taken)
            for event, refusal in results:
                if refusal is None or refusal.is_limit:
                    continue
                if event.attempts + 1 >= MAX_ATTEMPTS:
                    await outgoing_events.refuse(uow, event, error=refusal.reason)
                    self.stats.refused += 1
                    log.error("event refused", order=event.event.order, name=event.event.name, error=refusal.reason)
                    continue
                pause = min(FIRST_PAUSE * 2**event.attempts, LONGEST_PAUSE)
                due_at = uow.now + timedelta(seconds=pause)
                await outgoing_events.postpone(uow, event, due_at=due_at, error=refusal.reason)
                self.stats.postponed += 1
        self.stats.published += len(taken)

    async def _discard(self, lease: HeldLease, name: str, error: SalesforceError | None = None) -> None:
        """Delete the events of an object that the org does not have; the first time, the journal says so."""
        async with self.context.store.transaction() as uow:
            await lease.check(uow)
            number = await outgoing_events.discard(uow, name)
            if error is not None and number:
                await self._journal(uow, name, "discarded", number, error.message)
        self.stats.discarded += number

    async def _note_state(self, lease: HeldLease, name: str, error: SalesforceError | None) -> None:
        """Say in the database whether events of this object can be published, for `connector status`."""
        cursor = f"{PUBLISHED_STATE}{topic_of(name)}"
        async with self.context.store.transaction() as uow:
            await lease.check(uow)
            document = await cursors.get(uow.connection, self._org_id, cursor)
            activity = TopicActivity.LISTENING if error is None else TopicActivity.WAITING
            if document is None and error is None:
                return
            if document is not None and ListeningState.read(document).activity is activity:
                return
            fix = (
                ""
                if error is None
                else "Run `connector org deploy`, or turn it off by CONNECTOR_EVENTS__ORDER_STATUS=false."
            )
            state = ListeningState(activity=activity, since=uow.now, why=error.message if error else "", fix=fix)
            await cursors.set_position(uow, self._org_id, cursor, state.as_document())

    async def _expire(self, lease: HeldLease) -> None:
        async with self.context.store.transaction() as uow:
            await lease.check(uow)
            number = await outgoing_events.expire(uow)
            await self._journal(
                uow, "all", "expired", number, f"They have waited for {outgoing_events.KEPT.days} days."
            )
        log.warning("events expired", events=number)

    async def _journal(self, uow: UnitOfWork, name: str, action: str, number: int, why: str) -> None:
        detail = {"events": number, "why": why}
        entry = JournalEntry(entity="topic", key=topic_of(name), action=action, detail=detail, org_id=self._org_id)
        await journal.write(uow, [entry])


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; when canceled, let it finish first, so that what was published is recorded as such."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        _, pending = await asyncio.wait([task], timeout=STOP_SECONDS)
        for each in pending:
            each.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
