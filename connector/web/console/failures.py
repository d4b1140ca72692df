"""What failed besides what Salesforce refused, with the page that has it."""

from __future__ import annotations

from collections.abc import Mapping

from connector.model.action_request import ActionState
from connector.model.change_notice import NoticeState
from connector.model.inbound_change import InboxState
from connector.model.notification import MessageState
from connector.model.outgoing_event import OutgoingState
from connector.store import change_notices, inbox, notifications, order_actions, outgoing_events
from connector.store.engine import Connection
from connector.web.api.status import Status

Failure = tuple[int, str, str]
"""How many, a few words, and the address."""

_WORDS = {
    "messages": ("messages to customers failed", "/usage#messages"),
    "notices": ("notices to your own systems failed", "/usage#notices"),
    "events": ("of our events were refused", "/usage#events"),
    "actions": ("actions of reps could not be handled", "/inbox"),
    "records": ("records of the org that could not be applied", "/inbox"),
    "deleted": ("entities whose record was deleted in Salesforce", "/reconcile"),
}


def describe_failures(counts: Mapping[str, int]) -> list[Failure]:
    """Those of which there are any."""
    return [(count, *_WORDS[name]) for name, count in counts.items() if count]


def failures_of(status: Status) -> list[Failure]:
    """Of the status, without what Home shows by itself."""
    events = status.inbound.events
    return describe_failures({
        "messages": status.messages.get("failed", 0),
        "notices": status.webhooks.get("failed", 0),
        "events": 0 if events is None else events.refused,
        "actions": 0 if events is None else events.parked_actions,
        "deleted": status.inbound.deleted,
    })  # fmt: skip


async def list_failures(connection: Connection) -> list[Failure]:
    """What cannot be sent again by a resync."""
    return describe_failures({
        "messages": (await notifications.counts(connection))[MessageState.FAILED],
        "notices": (await change_notices.counts(connection))[NoticeState.FAILED],
        "events": (await outgoing_events.counts(connection))[OutgoingState.REFUSED],
        "actions": (await order_actions.counts(connection))[ActionState.PARKED],
        "records": (await inbox.counts(connection))[InboxState.PARKED],
    })  # fmt: skip
