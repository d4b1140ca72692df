"""A message that an order owes: what it is about and what became of it. Who gets it, and what it says, is made of the
order when it is sent, so that no address and no text is kept a second time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MessageKind(StrEnum):
    """In the order of an order's life. An `escalation` goes to our own people, everything else to the customer."""

    CONFIRMATION = "confirmation"
    SHIPMENT = "shipment"
    INVOICE = "invoice"
    CANCELLATION = "cancellation"
    RETURN_LABEL = "return_label"
    REFUND = "refund"
    ESCALATION = "escalation"

    @property
    def words(self) -> str:
        """For a sentence: `return label`."""
        return self.replace("_", " ")


class MessageState(StrEnum):
    """`failed`: refused for good, or tried too often. `expired`: too old to be sent. `skipped`: there is nobody to send
    it to, or nothing to say any more. `discarded`: a person gave it up."""

    DUE = "due"
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    SKIPPED = "skipped"
    DISCARDED = "discarded"


UNSENT = frozenset({MessageState.FAILED, MessageState.EXPIRED, MessageState.SKIPPED, MessageState.DISCARDED})
"""What a person may have sent after all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationRequest:
    """What an event of an order gives rise to. `reference` tells it from others of its kind: the number of an invoice,
    of a shipment, of a return with its label, or of the event in the history; empty where there is only one."""

    order: str
    kind: MessageKind
    reference: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification(NotificationRequest):
    """As it stands in the outbox. `key` is the same at every attempt; `since` is what its age counts from."""

    id: int
    key: str
    state: MessageState
    attempts: int
    captured_at: datetime
    since: datetime
    due_at: datetime
    sent_at: datetime | None
    error: str | None

    @property
    def title(self) -> str:
        """`invoice INV-000001 of order SO-1`."""
        return f"{self.kind.words}{f' {self.reference}' if self.reference else ''} of order {self.order}"
