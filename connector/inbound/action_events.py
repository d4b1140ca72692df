"""Actions that people ask for in the org (`Order_Action__e`): each becomes a command on its order, and is answered.

    event ─▶ handled before? ─▶ command on the order, by its rules ─▶ answer in the outbox of events, position moved
                  │                          │
                  '─▶ nothing                '─▶ refused: the answer says why; nothing of the order changes

All of it is one transaction by event: the command, the note that the event was handled, the answer, and the position.
A crash leaves all of it or nothing, so an event that the org delivers again acts once. Events are handled one after the
other, in their sequence. One that cannot be decoded, or that fails for a reason of ours, is parked and stops nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import timedelta

from connector.errors import AbortedError, CommandError, LeaseLostError, RetryClass, StoreError
from connector.inbound.batch_writes import ACTOR
from connector.inbound.notices import make_action_notice
from connector.inbound.order_actions import acceptance, answer, event_for, order_number, org_action, shortened
from connector.inbound.record_events import unreadable_entries
from connector.inbound.topic_cursor import TopicCursor
from connector.inbound.topic_listener import ListenContext, StoredEvents
from connector.log import get_logger
from connector.model.action_request import ActionRequest, ActionState
from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.model.listening_state import TopicActivity
from connector.model.order import Order
from connector.model.platform_event import ORDER_ACTION
from connector.model.sync_delay import Direction, bucket_of
from connector.orders.command import OrderCommand
from connector.orders.service import Executed, LockOrders, OrderService
from connector.salesforce.pubsub.events import ReceivedEvent, UnreadableEvent
from connector.salesforce.pubsub.subscription import Delivery
from connector.settings.webhooks import WebhookSettings
from connector.store import change_notices, dead_letters, deliveries, journal, order_actions, sync_delays
from connector.store.partitions import slot_of
from connector.store.unit_of_work import UnitOfWork

FAILED = "The connector could not handle this. Its operators see it in `connector actions list`; nothing was changed."

BEFORE_BEGIN = timedelta(minutes=1)
"""Events that were published so long before a topic was first read are carried out: the hosts of the org have clocks of
their own."""

log = get_logger(__name__)


class ActionEvents:
    """Handles the events of the action topic. `on_answer` is called when an answer is to be published."""

    gap_action = "actions may be lost"
    fallback = TopicActivity.WAITING
    rereads = True
    """Without a position everything that the org keeps is read again; what was handled is recognized."""

    def __init__(
        self,
        context: ListenContext,
        cursor: TopicCursor,
        orders: OrderService,
        *,
        webhooks: WebhookSettings,
        on_answer: Callable[[], None],
    ) -> None:
        self._context = context
        self._cursor = cursor
        self._orders = orders
        self._webhooks = webhooks
        self._on_answer = on_answer

    async def catch_up(self) -> None:
        """Events of people cannot be polled: there is no record that would hold them."""

    async def store(self, responses: Sequence[Delivery]) -> StoredEvents:
        """Handle these events one after the other, each in a transaction that moves the position behind it."""
        context = self._context
        events = [event for response in responses for event in response.events]
        requests = {id(event): _request_of(event) for event in events}
        async with context.store.reader() as connection:
            ids = {request.event_id for request in requests.values()}
            known = await order_actions.list_known(connection, context.org_id, ids)
            position = await self._cursor.read(connection)
        begun_at = None if position is None or position.begun_at is None else position.begun_at - BEFORE_BEGIN
        handled = unreadable = 0
        for event in events:
            request = requests[id(event)]
            is_older = begun_at is not None and request.published_at is not None and request.published_at < begun_at
            if request.event_id in known or is_older:
                continue
            known.add(request.event_id)
            if isinstance(event, UnreadableEvent):
                unreadable += 1
                await self._park_unreadable(event, request)
            else:
                handled += 1
                await self._handle(request, event.replay_id)
            self._on_answer()
        async with context.store.transaction() as uow:  # behind keep-alives, and behind events that did nothing
            await context.hold_lease(uow)
            await deliveries.add(uow, context.org_id, self._cursor.topic, len(events))
            await self._cursor.move(uow, responses[-1].replay_id, with_event=bool(events))
        return StoredEvents(records=handled, unreadable=unreadable)

    async def _handle(self, request: ActionRequest, replay_id: bytes) -> None:
        try:
            await self._execute(request, replay_id)
        except CommandError as error:
            sentence = shortened(f"{error.message} {error.hint}".strip())
            await self._finish_alone(request, replay_id, ActionState.REFUSED, sentence)
        except Exception as error:
            if _concerns_everything(error):
                raise  # nothing is stored: whoever holds the topic handles the event again
            log.exception("action failed", event_id=request.event_id, action=request.action)
            await self._park_failed(request, replay_id)

    async def _park_failed(self, request: ActionRequest, replay_id: bytes) -> None:
        try:
            await self._finish_alone(request, replay_id, ActionState.PARKED, FAILED)
        except StoreError as error:
            if _concerns_everything(error):
                raise
            log.error("action cannot be stored", event_id=request.event_id, error=error.message)
            bare = ActionRequest(event_id=request.event_id, published_at=request.published_at)
            async with self._context.store.transaction() as uow:
                await self._context.hold_lease(uow)
                await order_actions.put(uow, self._context.org_id, bare, ActionState.PARKED, shortened(error.message))
                await self._cursor.move(uow, replay_id, with_event=True)

    async def _execute(self, request: ActionRequest, replay_id: bytes) -> None:
        """Carry the action out. CommandError if it is not understood, or the order does not allow it."""
        action, number = org_action(request), order_number(request)
        found: list[Order] = []  # the transaction may be repeated: only the last one counts

        async def prepare(uow: UnitOfWork, lock_orders: LockOrders) -> Sequence[OrderCommand]:
            await self._context.hold_lease(uow)
            order = (await lock_orders([number])).get(number)
            if order is None:
                raise CommandError(f"There is no order {number} here.", field="Order_Number__c", rule="unknown")
            found[:] = [order]
            event = event_for(request, action, order)
            if event is not None:
                return [OrderCommand(number=number, event=event)]
            await dead_letters.journal_resync(uow, EntityKind.ORDER, [number])
            slot = slot_of(order)
            uow.changed(EntityKind.ORDER, number, slot, Lane.URGENT, unconfirmed=True)
            return []

        async def finish(uow: UnitOfWork, executed: Sequence[Executed]) -> None:
            [before] = found
            after = executed[-1].order if executed else before
            message = shortened(acceptance(action, before, after))
            await self._finish(uow, request, replay_id, ActionState.ACCEPTED, message)
            if self._webhooks.enabled:
                notice = make_action_notice(request, action, number, with_values=self._webhooks.include_values)
                await change_notices.capture(uow, [notice])
            if request.published_at is not None:
                bucket = bucket_of(Direction.FROM_ORG, ORDER_ACTION, uow.now - request.published_at)
                sync_delays.add(uow, self._context.org_id, [bucket])

        actor = f"{ACTOR} {request.user_id}" if request.user_id else ACTOR
        await self._orders.execute_prepared(prepare, actor=actor, finish=finish)

    async def _finish_alone(self, request: ActionRequest, replay_id: bytes, state: ActionState, message: str) -> None:
        async with self._context.store.transaction() as uow:
            await self._context.hold_lease(uow)
            await self._finish(uow, request, replay_id, state, message)

    async def _finish(
        self, uow: UnitOfWork, request: ActionRequest, replay_id: bytes, state: ActionState, message: str
    ) -> None:
        """Note that the event is handled, answer it, and move the position."""
        org_id = self._context.org_id
        await order_actions.put(uow, org_id, request, state, message)
        accepted = state is ActionState.ACCEPTED
        uow.publish([answer(request, accepted=accepted, message=message, org_id=org_id)])
        await self._cursor.move(uow, replay_id, with_event=True)

    async def _park_unreadable(self, event: UnreadableEvent, request: ActionRequest) -> None:
        """Note an event that could not be decoded. It cannot be answered: nobody knows what it asked for."""
        org_id = self._context.org_id
        async with self._context.store.transaction() as uow:
            await self._context.hold_lease(uow)
            await order_actions.put(uow, org_id, request, ActionState.PARKED, shortened(event.reason))
            await journal.write(uow, unreadable_entries([event], self._cursor.topic, org_id))
            await self._cursor.move(uow, event.replay_id, with_event=True)


def _concerns_everything(error: Exception) -> bool:
    """Whether the next event would fail as well: another process listens now, or the database is not usable. One that
    refuses a value or a statement is."""
    if isinstance(error, StoreError):
        is_refusal = error.retry_class in {RetryClass.DATA, RetryClass.UNKNOWN}
        return not is_refusal or (isinstance(error, AbortedError) and error.retry_class is not RetryClass.DATA)
    return isinstance(error, LeaseLostError)


def _request_of(event: ReceivedEvent | UnreadableEvent) -> ActionRequest:
    event_id = event.id or base64.b64encode(event.replay_id).decode()
    if isinstance(event, UnreadableEvent):
        return ActionRequest(event_id=event_id)
    return ActionRequest.read(event_id, event.payload, event.created_at)
