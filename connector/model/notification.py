"""A notification of an order: its kind and its delivery state. The recipient and the text are made from the order when
it is sent, so no address and no text is stored twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MessageKind(StrEnum):
    """What a notification says, in the sequence of an order's life. An `escalation` goes to our own people, every other
    kind to the customer."""

    CONFIRMATION = "confirmation"
    SHIPMENT = "shipment"
    INVOICE = "invoice"
    CANCELLATION = "cancellation"
    RETURN_LABEL = "return_label"
    REFUND = "refund"
    ESCALATION = "escalation"

    @property
    def words(self) -> str:
        """The kind as words of a sentence: `return label`."""
        return self.replace("_", " ")


class MessageState(StrEnum):
    """`failed`: refused permanently, or tried too often. `expired`: too old to be sent. `skipped`: has no recipient, or
    nothing to say any more. `discarded`: a person decided not to send it."""

    DUE = "due"
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    SKIPPED = "skipped"
    DISCARDED = "discarded"


UNSENT = frozenset({MessageState.FAILED, MessageState.EXPIRED, MessageState.SKIPPED, MessageState.DISCARDED})
"""The states from which a person may retry a notification."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationRequest:
    """A notification that an event asks for. `reference` distinguishes it from others of its kind: the number of an
    invoice, of a shipment, of a return with its label, or of the event; empty for a kind that an order has once."""

    order: str
    kind: MessageKind
    reference: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification(NotificationRequest):
    """A notification as it is stored. `key` is the same at every attempt; its age is counted from `since`."""

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
