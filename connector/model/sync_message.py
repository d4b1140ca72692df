"""What a rep is told on a record: why a change was not taken over. PURE."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

LONGEST = 2000
"""Characters of a message; the field holds more."""


class MessageCause(StrEnum):
    """`refused`: our value was restored; it is told until a later change of the record is taken. `parked`: it waits for
    a person, and is told until it is applied."""

    REFUSED = "refused"
    PARKED = "parked"


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncMessage:
    """A sentence or two for the record `record_id`. `source_id` is the record that was changed: the same, or a line."""

    record_id: str
    source_id: str
    cause: MessageCause
    text: str
    told_at: datetime | None = field(default=None, compare=False)


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
