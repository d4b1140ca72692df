"""A platform event in the outbox of events. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.model.platform_event import PlatformEvent


class OutgoingState(StrEnum):
    """`refused`: the org has refused this event again and again, and others not."""

    DUE = "due"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingEvent:
    """An event as it is stored; `number` rises with the changes of its order. `attempts` is how often the org has
    refused it."""

    number: int
    event: PlatformEvent
    state: OutgoingState
    captured_at: datetime
    due_at: datetime
    attempts: int
    error: str | None = None
