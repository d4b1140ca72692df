"""What can be asked of an order, and what has happened then, by name. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Action(StrEnum):
    """`begin` is the first event of a history, `advance` a stage that came by itself."""

    BEGIN = "begin"
    CHANGE = "change"
    SPLIT = "split"
    VERIFY = "verify"
    CONFIRM = "confirm"
    ALLOCATE = "allocate"
    DEALLOCATE = "deallocate"
    PICK = "pick"
    PACK = "pack"
    UNPACK = "unpack"
    LABEL = "label"
    SHIP = "ship"
    TRACK = "track"
    DELIVER = "deliver"
    CANCEL = "cancel"
    INVOICE = "invoice"
    AUTHORIZE = "authorize"
    DECLINE = "decline"
    CAPTURE = "capture"
    REFUND = "refund"
    HOLD = "hold"
    ESCALATE = "escalate"
    RELEASE = "release"
    REQUEST_RETURN = "request_return"
    APPROVE_RETURN = "approve_return"
    REJECT_RETURN = "reject_return"
    LABEL_RETURN = "label_return"
    RECEIVE_RETURN = "receive_return"
    INSPECT_RETURN = "inspect_return"
    CLOSE_RETURN = "close_return"
    ADVANCE = "advance"

    @property
    def words(self) -> str:
        """For a sentence: `request a return`."""
        return self.replace("_", " a ")

    @property
    def happened(self) -> EventKind:
        """What a history calls it once it has happened."""
        return _HAPPENED[self]


class EventKind(StrEnum):
    """What happened to an order, in the past tense, as histories name it. `begun` is the first of a history, `advanced`
    a stage that came by itself."""

    BEGUN = "begun"
    CHANGED = "changed"
    SPLIT = "split"
    VERIFIED = "verified"
    CONFIRMED = "confirmed"
    ALLOCATED = "allocated"
    DEALLOCATED = "deallocated"
    PICKED = "picked"
    PACKED = "packed"
    UNPACKED = "unpacked"
    LABELED = "labeled"
    SHIPPED = "shipped"
    TRACKED = "tracked"
    DELIVERED = "delivered"
    CANCELED = "canceled"
    INVOICED = "invoiced"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    HELD = "held"
    ESCALATED = "escalated"
    RELEASED = "released"
    RETURN_REQUESTED = "return_requested"
    RETURN_APPROVED = "return_approved"
    RETURN_REJECTED = "return_rejected"
    RETURN_LABELED = "return_labeled"
    RETURN_RECEIVED = "return_received"
    RETURN_INSPECTED = "return_inspected"
    RETURN_CLOSED = "return_closed"
    ADVANCED = "advanced"

    @property
    def action(self) -> Action:
        """What was asked."""
        return _ASKED[self]


STOCK_EVENTS = frozenset(
    {
        EventKind.VERIFIED,
        EventKind.CONFIRMED,
        EventKind.ALLOCATED,
        EventKind.DEALLOCATED,
        EventKind.PICKED,
        EventKind.PACKED,
        EventKind.SHIPPED,
    }
)
"""From the first of these on, an imported order is allocated stock here; before, another system does that."""

_HAPPENED: Mapping[Action, EventKind] = {
    Action.BEGIN: EventKind.BEGUN,
    Action.CHANGE: EventKind.CHANGED,
    Action.SPLIT: EventKind.SPLIT,
    Action.VERIFY: EventKind.VERIFIED,
    Action.CONFIRM: EventKind.CONFIRMED,
    Action.ALLOCATE: EventKind.ALLOCATED,
    Action.DEALLOCATE: EventKind.DEALLOCATED,
    Action.PICK: EventKind.PICKED,
    Action.PACK: EventKind.PACKED,
    Action.UNPACK: EventKind.UNPACKED,
    Action.LABEL: EventKind.LABELED,
    Action.SHIP: EventKind.SHIPPED,
    Action.TRACK: EventKind.TRACKED,
    Action.DELIVER: EventKind.DELIVERED,
    Action.CANCEL: EventKind.CANCELED,
    Action.INVOICE: EventKind.INVOICED,
    Action.AUTHORIZE: EventKind.AUTHORIZED,
    Action.DECLINE: EventKind.DECLINED,
    Action.CAPTURE: EventKind.CAPTURED,
    Action.REFUND: EventKind.REFUNDED,
    Action.HOLD: EventKind.HELD,
    Action.ESCALATE: EventKind.ESCALATED,
    Action.RELEASE: EventKind.RELEASED,
    Action.REQUEST_RETURN: EventKind.RETURN_REQUESTED,
    Action.APPROVE_RETURN: EventKind.RETURN_APPROVED,
    Action.REJECT_RETURN: EventKind.RETURN_REJECTED,
    Action.LABEL_RETURN: EventKind.RETURN_LABELED,
    Action.RECEIVE_RETURN: EventKind.RETURN_RECEIVED,
    Action.INSPECT_RETURN: EventKind.RETURN_INSPECTED,
    Action.CLOSE_RETURN: EventKind.RETURN_CLOSED,
    Action.ADVANCE: EventKind.ADVANCED,
}
_ASKED: Mapping[EventKind, Action] = {kind: action for action, kind in _HAPPENED.items()}
