"""Listens to one topic: hands what arrives to a handler, which stores it together with the position behind it.

    connecting -> subscribed -> (a response: its events and its replay ID are stored, then more is requested)
        |             |
        |             +-- stream ends, silence, new token needed: again from the stored replay ID, after a growing pause
        +---- replay ID no longer known: a gap. Records are polled over it and the subscription begins now; actions,
              which cannot be polled, are read again as far as the org still keeps them

A crash before a response is stored: the org sends it again, from the stored position. A crash afterwards: it is stored.
Only the holder of the topic's lease stores anything; a holder that was frozen finds its lease gone in the transaction
that would move the position. The handlers are `record_events` and `action_events`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from connector.clock import Clock
from connector.errors import RetryClass, SalesforceError
from connector.inbound.topic_cursor import TopicCursor, TopicPosition, state_name
from connector.log import StateLog, get_logger
from connector.metrics import STREAM_EVENTS
from connector.model.listening_state import ListeningState, TopicActivity
from connector.salesforce.pubsub.errors import (
    DeliveryLimitError,
    ReplayIdInvalidError,
    SessionExpiredError,
    SubscriptionError,
    TopicUnavailableError,
)
from connector.salesforce.pubsub.subscription import MAX_REQUESTED, Delivery
from connector.store import cursors, journal
from connector.store.engine import Store
from connector.store.journal import JournalEntry
from connector.store.unit_of_work import UnitOfWork
from connector.tracing import span

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two attempts to open a stream."""
SETTLE_SECONDS = 2.0
"""After this time a subscription stands: the API does not say when. What changed before is polled."""
CONFIG_PAUSE = 300.0

log = get_logger(__name__)


class Stream(Protocol):
    async def next(self) -> Delivery: ...

    async def request(self, count: int) -> None: ...


class Subscriber(Protocol):
    def subscribe(
        self, topic: str, replay_id: bytes | None, *, from_earliest: bool = False
    ) -> AbstractAsyncContextManager[Stream]: ...

    async def renew_session(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvents:
    """What a handler has stored of some events: the records or actions that they named, and those it could not read.
    `echoes` are events of our own writes."""

    records: int
    unreadable: int
    echoes: int = 0


class EventHandler(Protocol):
    """What is done with the events of a topic.

    `gap_action` is what the journal calls a gap, `fallback` what is done without a stream. `rereads`: without a
    position the subscription begins with the earliest event that the org keeps: nothing but the stream has them.
    """

    gap_action: str
    fallback: TopicActivity
    rereads: bool

    async def store(self, responses: Sequence[Delivery]) -> StoredEvents:
        """Store the events and the position behind them, and count them as delivered."""

    async def catch_up(self) -> None:
        """Fetch what no event tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenContext:
    """What a listener works with. `hold_lease` is awaited in each transaction, and raises LeaseLostError if another
    process listens now. `org_time` asks the org for the time by its clock."""

    store: Store
    subscriber: Subscriber
    org_id: str
    hold_lease: Callable[[UnitOfWork], Awaitable[None]]
    org_time: Callable[[], Awaitable[datetime]]

    @property
    def clock(self) -> Clock:
        return self.store.clock


@dataclass(kw_only=True)
class ListenerStats:
    """What a listener has seen since it began. `echoes` are events of our own writes, which the filter of our channel
    drops. `records` were named by events (or are actions); `reopened` counts streams after the first."""

    events: int = 0
    echoes: int = 0
    responses: int = 0
    records: int = 0
    unreadable: int = 0
    gaps: int = 0
    reopened: int = 0
    last_event_at: datetime | None = None
    last_error: str = ""
    subscribed: bool = False


class Listener:
    """Listens to the topic of `cursor` until it is canceled. `stats` continue those of an earlier listener; `on_state`
    is called when it is stored how the topic is being read."""

    def __init__(
        self,
        context: ListenContext,
        cursor: TopicCursor,
        handler: EventHandler,
        stats: ListenerStats | None = None,
        on_state: Callable[[ListeningState], None] = lambda state: None,
    ) -> None:
        self._context = context
        self._topic = cursor.topic
        self._cursor = cursor
        self._handler = handler
        self._state: ListeningState | None = None
        self._on_state = on_state
        self._stream = StateLog(log, "stream lost", "stream is back", topic=cursor.topic)
        self.stats = stats or ListenerStats()

    async def run(self) -> None:
        """Listen. Raises LeaseLostError when another process took over, StoreError if the database fails,
        DeliveryLimitError if the org delivers no more today, SalesforceError if it answers neither a poll nor a
        sign-in; whatever else ends the stream is waited out."""
        attempt = 0
        while True:
            before = self.stats.responses
            try:
                await self._listen_once()
            except SalesforceError as error:
                self.stats.subscribed = False
                self.stats.last_error = error.message
                if isinstance(error, DeliveryLimitError):
                    await self._write_state(self._handler.fallback, error)
                    raise
                attempt = 0 if self.stats.responses > before else attempt + 1
                await self._handle(error, attempt)
            self.stats.reopened += 1

    async def _handle(self, error: SalesforceError, attempt: int) -> None:
        """Do what the error asks for, and wait until the stream may be opened again."""
        context = self._context
        pause = min(FIRST_PAUSE * 2 ** min(attempt, 16), LONGEST_PAUSE) if attempt else 0.0
        match error:
            case ReplayIdInvalidError():
                await self._forget_position()
            case SessionExpiredError():
                await context.subscriber.renew_session()
            case TopicUnavailableError():
                pause = CONFIG_PAUSE
            case SubscriptionError():
                pass
            case _:
                pause = max(pause, FIRST_PAUSE)
        log.debug("subscription ended", topic=self._topic, error=error.message, pause=pause)
        if pause:
            self._stream.fail(error.message, hint=error.hint)
            await self._write_state(self._handler.fallback, error)
        if isinstance(error, TopicUnavailableError):
            await self._handler.catch_up()
        await context.clock.sleep(pause)

    async def _listen_once(self) -> None:
        context = self._context
        async with context.store.reader() as connection:
            position = await self._cursor.read(connection)
        if position is None and self._handler.rereads:
            begun_at = await context.org_time()
            async with context.store.transaction() as uow:
                await context.hold_lease(uow)
                await self._cursor.begin(uow, begun_at)
        position = position or TopicPosition()
        async with context.subscriber.subscribe(
            self._topic, position.replay_id, from_earliest=self._handler.rereads
        ) as stream:
            if position.replay_id is None:
                await context.clock.sleep(SETTLE_SECONDS)
                await self._close_gap(position.lost_since)  # events wait in the stream meanwhile, and errors
            await self._store_what_comes(stream)

    async def _store_what_comes(self, stream: Stream) -> None:
        """Read while the database works: what has arrived meanwhile is stored together. The queue is bounded by what
        was requested of the stream."""
        arrived: asyncio.Queue[Delivery | SalesforceError] = asyncio.Queue()

        async def read() -> None:
            ended: SalesforceError = _ended(self._topic, "the stream was closed")
            try:
                while True:
                    arrived.put_nowait(await stream.next())
            except SalesforceError as error:
                ended = error
            except Exception as error:  # whatever it is: nobody would wait for this task, and the listener be silent
                ended = _ended(self._topic, f"{error!r:.200}")
            finally:
                arrived.put_nowait(ended)

        reading = asyncio.create_task(read())
        try:
            while True:
                batch = [await self._next(arrived)]
                while not arrived.empty():
                    batch.append(arrived.get_nowait())
                responses = [item for item in batch if isinstance(item, Delivery)]
                if responses:
                    await self._store(responses, stream)
                if isinstance(batch[-1], SalesforceError):
                    raise batch[-1]
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _next(self, arrived: asyncio.Queue[Delivery | SalesforceError]) -> Delivery | SalesforceError:
        """What arrives next. A topic on which nothing arrives for a moment is subscribed to: errors come at once."""
        if not self.stats.subscribed:
            try:
                async with asyncio.timeout(SETTLE_SECONDS):
                    return await arrived.get()
            except TimeoutError:
                await self._note_subscribed()
        return await arrived.get()

    async def _store(self, responses: Sequence[Delivery], stream: Stream) -> None:
        last = responses[-1]
        events = sum(len(response.events) for response in responses)
        with span("receive", "consumer", messaging__destination__name=self._topic, connector__events=events):
            stored = await self._handler.store(responses)
        await self._note_subscribed()
        self.stats.responses += len(responses)
        self.stats.events += events
        STREAM_EVENTS.add(self._topic, count=events)
        self.stats.echoes += stored.echoes
        self.stats.records += stored.records
        self.stats.unreadable += stored.unreadable
        if events:
            self.stats.last_event_at = self._context.clock.now()
        if last.pending <= MAX_REQUESTED // 2:
            await stream.request(MAX_REQUESTED - last.pending)

    async def _note_subscribed(self) -> None:
        self.stats.subscribed = True
        self._stream.work()
        if self._state is None or self._state.activity is not TopicActivity.LISTENING:
            await self._write_state(TopicActivity.LISTENING)
        else:
            self._on_state(self._state)  # the end of a gap was stored together with it

    async def _write_state(
        self, activity: TopicActivity, error: SalesforceError | None = None, *, gap: bool = False
    ) -> None:
        """Say in the database how the topic is being read, for `connector status`."""
        context = self._context
        async with context.store.transaction() as uow:
            await context.hold_lease(uow)
            state = await self._put_state(uow, activity, error, gap=gap)
        self._on_state(state)

    async def _put_state(
        self, uow: UnitOfWork, activity: TopicActivity, error: SalesforceError | None, *, gap: bool
    ) -> ListeningState:
        document = await cursors.get(uow.connection, self._context.org_id, state_name(self._topic))
        before = None if document is None else ListeningState.read(document)
        goes_on = before is not None and before.activity is activity is not TopicActivity.LISTENING
        self._state = ListeningState(
            activity=activity,
            since=before.since if before is not None and goes_on else uow.now,
            why="" if error is None else error.message,
            fix="" if error is None else error.hint,
            gaps=(0 if before is None else before.gaps) + gap,
            last_gap_at=uow.now if gap else None if before is None else before.last_gap_at,
        )
        await self._cursor.write_state(uow, self._state)
        return self._state

    async def _forget_position(self) -> None:
        """Keep when the position was stored: the gap begins there."""
        context = self._context
        async with context.store.transaction() as uow:
            await context.hold_lease(uow)
            await self._cursor.forget(uow)

    async def _close_gap(self, since: str | None) -> None:
        """Fetch what changed before the subscription stood, and note the gap."""
        context = self._context
        await self._handler.catch_up()
        if since is None:
            return
        self.stats.gaps += 1
        async with context.store.transaction() as uow:
            await context.hold_lease(uow)
            await self._put_state(uow, TopicActivity.LISTENING, None, gap=True)
            detail = {"since": since, "until": uow.now.isoformat()}
            entry = JournalEntry(
                entity="topic", key=self._topic, action=self._handler.gap_action, detail=detail, org_id=context.org_id
            )
            await journal.write(uow, [entry])


def _ended(topic: str, why: str) -> SubscriptionError:
    return SubscriptionError(
        f"{topic}: {why}.",
        hint="Nothing to do: it is opened again automatically.",
        retry_class=RetryClass.TRANSIENT,
    )
