"""Change events: the records that they name are put into the inbox, together with the position behind them.

An event that cannot be decoded cannot say which records it is about: all objects are polled, so nothing is lost by it.
The position moves when that poll has succeeded; until then the org delivers the events again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from connector.inbound.topic_cursor import TopicCursor, encode
from connector.inbound.topic_listener import ListenContext, StoredEvents
from connector.log import get_logger
from connector.model.inbound_change import Source
from connector.model.listening_state import TopicActivity
from connector.salesforce.pubsub.events import ReceivedEvent, UnreadableEvent
from connector.salesforce.pubsub.subscription import Delivery
from connector.store import deliveries, inbox, journal
from connector.store.journal import JournalEntry

log = get_logger(__name__)


class RecordEvents:
    """Handles change events. `own_user` is the ID of the connector's user in the org. `sobjects` returns those
    whose records are received now; `on_records` is called when the inbox has something new; `catch_up`
    polls all objects."""

    gap_action = "gap closed"
    fallback = TopicActivity.POLLING
    rereads = False

    def __init__(
        self,
        context: ListenContext,
        cursor: TopicCursor,
        *,
        own_user: str,
        sobjects: Callable[[], Collection[str]],
        on_records: Callable[[], None],
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._context = context
        self._cursor = cursor
        self._own_user = own_user
        self._echoes_told = False
        self._sobjects = sobjects
        self._on_records = on_records
        self._catch_up = catch_up

    async def catch_up(self) -> None:
        """Poll what no event tells."""
        await self._catch_up()

    async def store(self, responses: Sequence[Delivery]) -> StoredEvents:
        """Store what these events name, and the position behind them: in one transaction, unless they do not name
        everything; then the position moves after a poll of all objects."""
        events = [event for response in responses for event in response.events]
        unreadable = [event for event in events if isinstance(event, UnreadableEvent)]
        received = [event for event in events if isinstance(event, ReceivedEvent)]
        records, concerns_all = self._records_of(received)
        is_more = concerns_all or bool(unreadable)
        context = self._context
        async with context.store.transaction() as uow:
            await context.hold_lease(uow)
            await inbox.put(uow, context.org_id, records, Source.EVENT)
            await deliveries.add(uow, context.org_id, self._cursor.topic, len(events))
            if not is_more:
                await self._cursor.move(uow, responses[-1].replay_id, with_event=bool(events))
        if records:
            self._on_records()
        if is_more:
            await self._catch_up()
            async with context.store.transaction() as uow:
                await context.hold_lease(uow)
                await journal.write(uow, unreadable_entries(unreadable, self._cursor.topic, context.org_id))
                await self._cursor.move(uow, responses[-1].replay_id, with_event=True)
        return StoredEvents(records=len(records), unreadable=len(unreadable), echoes=self._count_echoes(received))

    def _count_echoes(self, events: Sequence[ReceivedEvent]) -> int:
        changes = [event.change for event in events]
        echoes = sum(change is not None and change.user_id == self._own_user for change in changes)
        if echoes and not self._echoes_told:
            self._echoes_told = True
            hint = "`connector org deploy` gives Connector__chn the filter that leaves them out."
            log.warning("our own changes are delivered", topic=self._cursor.topic, hint=hint)
        return echoes

    def _records_of(self, events: Sequence[ReceivedEvent]) -> tuple[set[tuple[str, str]], bool]:
        """The records that these events name, and whether an event is about more than it names."""
        records: set[tuple[str, str]] = set()
        concerns_all = False
        sobjects = self._sobjects()
        for event in events:
            header = event.change
            if header is None or header.sobject not in sobjects:
                continue
            if header.concerns_all:
                concerns_all = True
            else:
                records |= {(header.sobject, record_id) for record_id in header.record_ids}
        return records, concerns_all


def unreadable_entries(events: Sequence[UnreadableEvent], topic: str, org_id: str) -> list[JournalEntry]:
    """What the journal says of events that could not be decoded."""
    return [
        JournalEntry(
            entity="topic",
            key=topic,
            action="unreadable",
            detail={"replay_id": encode(event.replay_id), "event": event.id, "reason": event.reason},
            org_id=org_id,
        )
        for event in events
    ]
