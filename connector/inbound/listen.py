"""Listens to one topic: what its events name is noted in the inbox, together with the position behind them.

    connecting -> subscribed -> (a response: its records and its replay ID are stored, then more is requested)
        |             |
        |             +-- stream ends, silence, new token needed: again from the stored replay ID, after a growing pause
        +---- replay ID no longer known: from now on, and a poll reads what happened in between (a closed gap)

A crash before a response is stored: the org sends it again, from the stored position. A crash afterwards: its records
are in the inbox. An event that cannot be decoded cannot say which records it is about: all objects are polled, so
nothing is lost by it. Only the holder of the topic's lease stores anything; a holder that was frozen finds its lease
gone in the transaction that would move the position.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from connector.clock import Clock
from connector.errors import SalesforceError
from connector.log import get_logger
from connector.model.inbound_change import Source
from connector.salesforce.pubsub.errors import (
    DeliveryLimitError,
    ReplayIdInvalidError,
    SessionExpiredError,
    SubscriptionError,
    TopicUnavailableError,
)
from connector.salesforce.pubsub.events import ReceivedEvent, UnreadableEvent
from connector.salesforce.pubsub.subscription import MAX_REQUESTED, Delivery
from connector.store import cursors, deliveries, inbox, journal
from connector.store.engine import Store
from connector.store.journal import JournalEntry
from connector.store.unit_of_work import UnitOfWork

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
    def subscribe(self, topic: str, replay_id: bytes | None) -> AbstractAsyncContextManager[Stream]: ...

    async def renew_session(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenContext:
    """What a listener works with.

    `own_user` is the ID of the connector's user in the org. `sobjects` are those whose records are received.
    `hold_lease` is awaited in each transaction, and raises LeaseLostError if another process listens now. `on_records`
    is called when the inbox has something new; `catch_up` polls all objects.
    """

    store: Store
    subscriber: Subscriber
    org_id: str
    own_user: str
    sobjects: Collection[str]
    hold_lease: Callable[[UnitOfWork], Awaitable[None]]
    on_records: Callable[[], None]
    catch_up: Callable[[], Awaitable[None]]

    @property
    def clock(self) -> Clock:
        return self.store.clock


@dataclass(kw_only=True)
class ListenerStats:
    """What a listener has seen since it began. `echoes` are events of our own writes, which the filter of our channel
    drops. `gaps` were closed by a poll; `reopened` counts streams after the first."""

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
    """Listens to `topic` until it is canceled. `stats` continue those of an earlier listener."""

    def __init__(self, context: ListenContext, topic: str, stats: ListenerStats | None = None) -> None:
        self._context = context
        self._topic = topic
        self.stats = stats or ListenerStats()

    @property
    def _cursor(self) -> str:
        return cursors.events_of(self._topic)

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
                await context.catch_up()
                pause = CONFIG_PAUSE
            case SubscriptionError():
                pass
            case _:
                pause = max(pause, FIRST_PAUSE)
        log.warning("subscription ended", topic=self._topic, error=error.message, hint=error.hint, pause=pause)
        await context.clock.sleep(pause)

    async def _listen_once(self) -> None:
        context = self._context
        async with context.store.reader() as connection:
            position = await cursors.get(connection, context.org_id, self._cursor)
        replay_id = None if position is None else _decode(position.get("replay_id"))
        gap_since = None if replay_id is not None or position is None else position.get("at")
        async with context.subscriber.subscribe(self._topic, replay_id) as stream:
            if replay_id is None:
                await context.clock.sleep(SETTLE_SECONDS)
                await self._close_gap(gap_since)  # events wait in the stream meanwhile
                self.stats.subscribed = True
            await self._store_what_comes(stream)

    async def _store_what_comes(self, stream: Stream) -> None:
        """Read while the database works: what has arrived meanwhile is stored together. The queue is bounded by what
        was requested of the stream."""
        arrived: asyncio.Queue[Delivery | SalesforceError] = asyncio.Queue()

        async def read() -> None:
            try:
                while True:
                    arrived.put_nowait(await stream.next())
            except SalesforceError as error:
                arrived.put_nowait(error)

        reading = asyncio.create_task(read())
        try:
            while True:
                batch = [await arrived.get()]
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

    async def _store(self, responses: Sequence[Delivery], stream: Stream) -> None:
        last = responses[-1]
        events = [event for response in responses for event in response.events]
        unreadable = [event for event in events if isinstance(event, UnreadableEvent)]
        received = [event for event in events if isinstance(event, ReceivedEvent)]
        records, polled = self._records_of(received)
        await self._store_records(records, last.replay_id, unreadable, delivered=len(events))
        self.stats.subscribed = True
        self.stats.responses += len(responses)
        self.stats.events += len(events)
        self._count_echoes(received)
        self.stats.records += len(records)
        self.stats.unreadable += len(unreadable)
        if events:
            self.stats.last_event_at = self._context.clock.now()
        if records:
            self._context.on_records()
        if polled or unreadable:
            await self._context.catch_up()
        if last.pending <= MAX_REQUESTED // 2:
            await stream.request(MAX_REQUESTED - last.pending)

    def _count_echoes(self, events: Sequence[ReceivedEvent]) -> None:
        changes = [event.change for event in events]
        echoes = sum(change is not None and change.user_id == self._context.own_user for change in changes)
        if echoes and not self.stats.echoes:
            hint = "`connector org deploy` gives Connector__chn the filter that leaves them out."
            log.warning("our own changes are delivered", topic=self._topic, hint=hint)
        self.stats.echoes += echoes

    def _records_of(self, events: Sequence[ReceivedEvent]) -> tuple[set[tuple[str, str]], bool]:
        """The records that these events name, and whether an event is about more than it names."""
        records: set[tuple[str, str]] = set()
        concerns_all = False
        for event in events:
            header = event.change
            if header is None or header.sobject not in self._context.sobjects:
                continue
            if header.concerns_all:
                concerns_all = True
            else:
                records |= {(header.sobject, record_id) for record_id in header.record_ids}
        return records, concerns_all

    async def _store_records(
        self,
        records: Collection[tuple[str, str]],
        replay_id: bytes,
        unreadable: Sequence[UnreadableEvent],
        *,
        delivered: int,
    ) -> None:
        context = self._context
        entries = [
            JournalEntry(
                entity="topic",
                key=self._topic,
                action="unreadable",
                detail={"replay_id": _encode(event.replay_id), "event": event.id, "reason": event.reason},
                org_id=context.org_id,
            )
            for event in unreadable
        ]
        async with context.store.transaction() as uow:
            await context.hold_lease(uow)
            await inbox.put(uow, context.org_id, records, Source.EVENT)
            await deliveries.add(uow, context.org_id, self._topic, delivered)
            await journal.write(uow, entries)
            position = {"replay_id": _encode(replay_id), "at": uow.now.isoformat()}
            await cursors.set_position(uow, context.org_id, self._cursor, position)

    async def _forget_position(self) -> None:
        """Keep when the position was stored: the gap begins there."""
        context = self._context
        async with context.store.transaction() as uow:
            await context.hold_lease(uow)
            position = await cursors.get(uow.connection, context.org_id, self._cursor)
            at = position["at"] if position is not None else uow.now.isoformat()
            await cursors.set_position(uow, context.org_id, self._cursor, {"replay_id": None, "at": at})

    async def _close_gap(self, since: str | None) -> None:
        """Poll what changed before the subscription stood, and note that the gap is closed."""
        context = self._context
        await context.catch_up()
        if since is None:
            return
        self.stats.gaps += 1
        async with context.store.transaction() as uow:
            await context.hold_lease(uow)
            detail = {"since": since, "until": uow.now.isoformat()}
            entry = JournalEntry(
                entity="topic", key=self._topic, action="gap closed", detail=detail, org_id=context.org_id
            )
            await journal.write(uow, [entry])


def _encode(replay_id: bytes) -> str:
    return base64.b64encode(replay_id).decode()


def _decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
