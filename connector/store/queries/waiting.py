"""What waits at each stage of both directions, and since when the oldest does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState
from connector.model.change_notice import NoticeState
from connector.model.inbound_change import InboxState
from connector.model.notification import MessageState
from connector.model.outgoing_event import OutgoingState
from connector.store.event_tables import outgoing_events
from connector.store.inbound_tables import change_notices, inbox
from connector.store.tables import messages, outbox

_STAGES = {
    "send": (outbox.c.captured_at, outbox.c.state == ChangeState.DUE.value),
    "apply": (inbox.c.seen_at, inbox.c.state == InboxState.DUE.value),
    "publish": (outgoing_events.c.captured_at, outgoing_events.c.state == OutgoingState.DUE.value),
    "notify": (messages.c.since, messages.c.state == MessageState.DUE.value),
    "webhook": (change_notices.c.since, change_notices.c.state == NoticeState.DUE.value),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """How many wait at a stage, and since when the oldest does; None if none waits."""

    count: int
    oldest: datetime | None


async def list_waiting(connection: AsyncConnection) -> dict[str, Waiting]:
    """By stage: `send` to the org, `apply` here what was read of it, `publish` our events, `notify` customers, and post
    notices to the `webhook`."""
    found = {}
    for stage, (since, is_due) in _STAGES.items():
        count, oldest = (await connection.execute(select(func.count(), func.min(since)).where(is_due))).one()
        found[stage] = Waiting(count=count, oldest=oldest)
    return found
