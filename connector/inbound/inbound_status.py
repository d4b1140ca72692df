"""What comes back from the org, and what of it waits, as the database says: for `connector status` and the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connector.inbound.topic_status import TopicStatus, list_topics
from connector.model.action_request import ActionState
from connector.model.deliveries import DeliveryPolicy, DeliveryUsage
from connector.model.inbound_change import InboxState
from connector.model.outgoing_event import OutgoingState
from connector.store import conflicts, deleted_records, deliveries, inbox, order_actions, outgoing_events
from connector.store.engine import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class EventStatus:
    """How each topic is read; actions of reps that could not be handled; our events that are still to be published, and
    those that the org refused."""

    topics: tuple[TopicStatus, ...]
    parked_actions: int
    unpublished: int
    refused: int


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundStatus:
    """Open conflicts, records that could not be applied, entities whose record is deleted in the org, how many of the
    org's event deliveries each topic has used, and the events. `events` is None before the first sign-in to an org."""

    conflicts: int
    parked: int
    deleted: int = 0
    deliveries: tuple[DeliveryUsage, ...] = ()
    events: EventStatus | None = None


async def load_inbound_status(
    connection: Connection, org_id: str | None, now: datetime, policy: DeliveryPolicy
) -> InboundStatus:
    """`org_id` is the org that the database works with; None if there is none yet."""
    if org_id is None:
        return InboundStatus(conflicts=await conflicts.count_open(connection), parked=0)
    usages = await deliveries.usage(connection, org_id, now, policy)
    outgoing = await outgoing_events.counts(connection)
    return InboundStatus(
        conflicts=await conflicts.count_open(connection),
        parked=(await inbox.counts(connection, org_id))[InboxState.PARKED],
        deleted=len(await deleted_records.list_missing(connection, org_id)),
        deliveries=tuple(usages),
        events=EventStatus(
            topics=tuple(await list_topics(connection, org_id, usages, now)),
            parked_actions=(await order_actions.counts(connection))[ActionState.PARKED],
            unpublished=outgoing[OutgoingState.DUE],
            refused=outgoing[OutgoingState.REFUSED],
        ),
    )
