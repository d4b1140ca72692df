"""Causes of dead letters as people work on them: whose one is, what they noted, until when it is out of sight. PURE.

    nothing refused ──refused──► open ──nothing is left of it, for a minute──► closed (who, how, when)
                                  │  └── refused again within that minute: still the same
                                  └── snoozed: hidden, until its time is over or it has grown

What comes back after it was closed is a new one, with the assignee and the note of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LONGEST_NOTE = 2000
SETTLES = timedelta(minutes=1)
"""How long nothing must be left of a cause until it is closed: what is sent again may be refused again."""
LONGEST_SNOOZE = timedelta(days=90)


class ClosedHow(StrEnum):
    """How a cause was closed: by what a person did last, or because later changes were accepted."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"
    CORRECTED = "corrected"
    BY_ITSELF = "by_itself"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """A cause, by the fingerprint of its group. `most`: how many dead letters it had at most. `snoozed_at_count`: how
    many there were when it was snoozed. `last_action`: what a person did last with some of it, and who."""

    id: int
    fingerprint: str
    entity: str
    code: str
    field: str | None
    source: str | None
    opened_at: datetime
    most: int
    assignee: str | None = None
    note: str | None = None
    snoozed_until: datetime | None = None
    snoozed_at_count: int | None = None
    closed_at: datetime | None = None
    closed_how: ClosedHow | None = None
    closed_by: str | None = None
    last_action: ClosedHow | None = None
    last_actor: str | None = None

    def is_snoozed(self, count: int, now: datetime) -> bool:
        """Whether it is out of sight, with so many dead letters."""
        return self.snoozed_until is not None and now < self.snoozed_until and count <= (self.snoozed_at_count or 0)

    def is_back(self, count: int, now: datetime) -> bool:
        """Whether it was snoozed, and is in sight again."""
        return self.snoozed_until is not None and not self.is_snoozed(count, now)
