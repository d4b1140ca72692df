"""A notice to the company's own systems: what of the org was applied here. It is posted to a webhook."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class NoticeState(StrEnum):
    """`failed`: refused permanently, or not accepted within the time that is set."""

    DUE = "due"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewNotice:
    """What is to be told of an entity: `type` is `customer.updated`, `order.deleted`, …; `data` becomes JSON."""

    type: str
    entity: str
    key: str
    data: dict[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeNotice:
    """A notice as it is stored. `message_id` is the same at every attempt: the receiver detects a repeat by it. `body`
    is the JSON document that is posted."""

    id: int
    message_id: str
    type: str
    entity: str
    key: str
    body: str
    state: NoticeState
    attempts: int
    captured_at: datetime
    since: datetime
    due_at: datetime
    sent_at: datetime | None
    error: str | None
