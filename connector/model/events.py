"""What can be asked of an order, and what an event says. A history is a list of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal
from enum import StrEnum

from connector.errors import CommandError
from connector.model.order_state import Hold
from connector.model.shipments import Resolution, ReturnReason, ShipmentStatus
from connector.model.stage import Stage


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


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionFields:
    """The fields of an Event that one action has; it has no others.

    `required` must be given, of `any_of` at least one, and `with_lines` where lines are given. `recorded` are filled in
    while the event is carried out: they stand in the history, and nobody can ask for them.
    """

    required: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    with_lines: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()

    @property
    def requestable(self) -> tuple[str, ...]:
        """What a caller may give, the required fields first."""
        return (*self.required, *self.any_of, *self.with_lines, *self.optional)

    @property
    def every(self) -> frozenset[str]:
        return frozenset((*self.requestable, *self.recorded))


def _fields(
    *optional: str,
    required: tuple[str, ...] = (),
    any_of: tuple[str, ...] = (),
    with_lines: tuple[str, ...] = (),
    recorded: tuple[str, ...] = (),
) -> ActionFields:
    """Of an action that somebody asks for: it may have a note."""
    return ActionFields(
        required=required, any_of=any_of, optional=(*optional, "note"), with_lines=with_lines, recorded=recorded
    )


_LABEL = ("carrier", "tracking_number")

ACTION_FIELDS: Mapping[Action, ActionFields] = {
    Action.BEGIN: ActionFields(),
    Action.CHANGE: _fields(any_of=("line_edits", "details")),
    Action.SPLIT: _fields(required=("lines",), recorded=("reference",)),
    Action.VERIFY: _fields(recorded=("reference",)),
    Action.CONFIRM: _fields(recorded=("reference",)),
    Action.ALLOCATE: _fields("lines"),
    Action.DEALLOCATE: _fields("lines", "warehouse"),
    Action.PICK: _fields("lines", "warehouse"),
    Action.PACK: _fields("lines", "warehouse", *_LABEL),
    Action.UNPACK: _fields("shipment"),
    Action.LABEL: _fields("shipment", required=_LABEL),
    Action.SHIP: _fields("shipment", "lines", "warehouse", *_LABEL, "on"),
    Action.TRACK: _fields("shipment", "on", required=("status",)),
    Action.DELIVER: _fields("shipment", "on"),
    Action.CANCEL: _fields("lines"),
    Action.INVOICE: _fields("amount", recorded=("reference",)),
    Action.AUTHORIZE: _fields("amount", "reference"),
    Action.DECLINE: _fields("reference"),
    Action.CAPTURE: _fields("amount", "reference"),
    Action.REFUND: _fields("amount", "reference"),
    Action.HOLD: _fields(required=("hold",), recorded=("reference",)),
    Action.ESCALATE: _fields(required=("hold",)),
    Action.RELEASE: _fields(required=("hold",)),
    Action.REQUEST_RETURN: _fields("lines", "reason", "resolution", "on"),
    Action.APPROVE_RETURN: _fields("return_number"),
    Action.REJECT_RETURN: _fields("return_number"),
    Action.LABEL_RETURN: _fields("return_number", required=_LABEL),
    Action.RECEIVE_RETURN: _fields("return_number", "lines"),
    Action.INSPECT_RETURN: _fields(
        "return_number", any_of=("lines", "written_off"), with_lines=("warehouse",), recorded=("reference",)
    ),
    Action.CLOSE_RETURN: _fields("return_number", recorded=("reference",)),
    Action.ADVANCE: ActionFields(recorded=("to",)),
}
"""The one place that says which fields each action has: events, HTTP bodies, options and help are made from it."""

REQUESTABLE = tuple(action for action, has in ACTION_FIELDS.items() if has.requestable)
"""Actions that somebody can ask for; the others happen automatically."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineEdit:
    """What one line is to be: a new line, or other values for one that is there. Quantity 0 takes it out."""

    sku: str
    quantity: Decimal
    unit_price: Decimal | None = None
    discount: Decimal = Decimal(0)


Detail = str | bool | date | Decimal | None
"""A value of an order besides its lines; None takes it out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened. A field that its action does not have (ACTION_FIELDS) is refused with CommandError.

    `lines` are quantities by line number (of an inspection: what goes back to the shelf of `warehouse`; of the end of
    an allocation: what is given up there); `written_off` what does not go back; `line_edits` new values by line number;
    `details` what else of the order is to be different, by the names of CHANGEABLE;
    `amount` money in the order's currency; `on` the day it happened; `shipment` and `return_number` count from 1 within
    the order; `reference` names what it concerns elsewhere: an invoice, a payment, the order that a split or a
    replacement made or was made from, the rules of verification that put it on hold.
    """

    action: Action
    lines: Mapping[int, Decimal] = field(default_factory=dict)
    written_off: Mapping[int, Decimal] = field(default_factory=dict)
    line_edits: Mapping[int, LineEdit] = field(default_factory=dict)
    details: Mapping[str, Detail] = field(default_factory=dict)
    amount: Decimal | None = None
    hold: Hold | None = None
    to: Stage | None = None
    shipment: int | None = None
    status: ShipmentStatus | None = None
    return_number: int | None = None
    reason: ReturnReason | None = None
    resolution: Resolution | None = None
    warehouse: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    on: date | None = None
    reference: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for name in _FOREIGN[self.action]:
            if getattr(self, name) not in _NOT_GIVEN:
                takes = listed_fields(ACTION_FIELDS[self.action].requestable)
                raise CommandError(
                    f"{name} is not a field of {self.action}; {self.action} takes {takes}.", field=name, rule="field"
                )

    @property
    def relines(self) -> bool:
        """Whether it makes the order another one than was asked for: with other lines, or less of them."""
        return bool(self.line_edits) or self.action in {Action.CANCEL, Action.SPLIT}


EVENT_FIELDS = tuple(item.name for item in fields(Event) if item.name != "action")
_NOT_GIVEN: tuple[object, ...] = (None, {})
_FOREIGN: Mapping[Action, tuple[str, ...]] = {
    action: tuple(name for name in EVENT_FIELDS if name not in has.every) for action, has in ACTION_FIELDS.items()
}


def listed_fields(names: Sequence[str]) -> str:
    """`amount, reference and note`."""
    *most, last = names or ("nothing",)
    return f"{', '.join(most)} and {last}" if most else last
