"""The events of the org for a listener, in the order and with the cuts that the seed says.

The transport by gRPC has tests of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connector.errors import RetryClass
from connector.localorg.events.bus import Event, InvalidReplayIdError, encode_replay_id
from connector.localorg.org import Org
from connector.salesforce.pubsub.errors import ReplayIdInvalidError, SubscriptionError
from connector.salesforce.pubsub.events import ReceivedEvent, UnreadableEvent
from connector.salesforce.pubsub.subscription import Delivery

MOST_CUTS = 3
"""In one turn of a listener."""


class EventSource:
    """Subscriptions of one turn of a listener. `drained` is set when it waits and no event is left."""

    def __init__(self, org: Org, source: random.Random, *, noisy: bool) -> None:
        self._org = org
        self._source = source
        self._cuts = 0
        self._noisy = noisy
        self.drained = asyncio.Event()

    async def renew_session(self) -> None: ...

    @asynccontextmanager
    async def subscribe(
        self, topic: str, replay_id: bytes | None, *, from_earliest: bool = False
    ) -> AsyncIterator[EventStream]:
        bus = self._org.hub.bus
        try:
            position = bus.latest if replay_id is None else bus.decode_replay_id(replay_id)
        except InvalidReplayIdError:
            raise ReplayIdInvalidError("The replay ID is not known.", hint="", retry_class=RetryClass.DATA) from None
        yield EventStream(self, topic, position)

    @property
    def latest(self) -> int:
        return self._org.hub.bus.latest

    def is_cut_now(self) -> bool:
        if not self._noisy or self._cuts >= MOST_CUTS or self._source.random() > 0.15:
            return False
        self._cuts += 1
        return True

    def read(self, topic: str, position: int) -> list[Event]:
        """Some of the next events."""
        topics = self._org.hub.resolve_topics(topic)
        assert topics is not None
        return self._org.hub.bus.events_after(position, topics, self._source.randint(1, 8))

    def arrange(self, events: list[Event]) -> tuple[ReceivedEvent | UnreadableEvent, ...]:
        """The events as they arrive: some twice, in another order, one that cannot be decoded."""
        arrived = [self._decode(event) for event in events]
        if self._noisy and self._source.random() < 0.3:
            self._source.shuffle(arrived)
        if self._noisy and self._source.random() < 0.2:
            arrived.append(self._source.choice(arrived))
        return tuple(arrived)

    def _decode(self, event: Event) -> ReceivedEvent | UnreadableEvent:
        if self._noisy and self._source.random() < 0.03:
            return UnreadableEvent(replay_id=event.replay_id, id=event.uuid, reason="the seed says so")
        schema = self._org.hub.schema_by_id(event.schema_id)
        assert schema is not None
        return ReceivedEvent(replay_id=event.replay_id, id=event.uuid, payload=schema.decode(event.payload))


class EventStream:
    """One subscription. The next response comes when the one before is stored; the last one is a keep-alive."""

    def __init__(self, source: EventSource, topic: str, position: int) -> None:
        self._source = source
        self._topic = topic
        self._position = position
        self._stored = asyncio.Event()
        self._stored.set()
        self._is_quiet = False

    async def next(self) -> Delivery:
        await self._stored.wait()
        if self._source.is_cut_now():
            raise SubscriptionError("The stream was cut.", hint="", retry_class=RetryClass.TRANSIENT)
        events = self._source.read(self._topic, self._position)
        if not events and self._is_quiet:
            self._source.drained.set()
            await asyncio.Event().wait()
        self._is_quiet = not events
        self._stored.clear()
        self._position = events[-1].replay if events else max(self._position, self._source.latest)
        arranged = self._source.arrange(events) if events else ()
        return Delivery(events=arranged, replay_id=encode_replay_id(self._position), pending=0)

    async def request(self, count: int) -> None:
        self._stored.set()
