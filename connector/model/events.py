"""The events of an order, one class for each action. A command carries one as a request; the history keeps it once it
has happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar, get_args

from connector.model.actions import Action
from connector.model.holds import Hold
from connector.model.shipments import Resolution, ReturnReason, ShipmentStatus
from connector.model.stage import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class LineEdit:
    """The new values of one line: a line to add, or new values for an existing one. Quantity 0 removes the line."""

    sku: str
    quantity: Decimal
    unit_price: Decimal | None = None
    discount: Decimal = Decimal(0)


Detail = str | bool | date | Decimal | None
"""The value of a header field; None clears the field."""


Quantities = Mapping[int, Decimal]
"""Quantities by line number."""
LineEdits = Mapping[int, LineEdit]
"""Edits by line number."""
Details = Mapping[str, Detail]
"""Values by the name of the header field."""
FreeText = Annotated[str, "free text"]
"""Text for people. Any other text of an event is a key."""
RECORDED: Mapping[str, bool] = {"recorded": True}
"""Metadata of a field that is filled in when the event is carried out: the history has it, a caller cannot give it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventBase:
    """Base of all events.

    A field without a default must be given; of the fields in `any_of` at least one; those in `with_lines` together with
    `lines`. Fields with the same name mean the same in all events: `lines` are quantities by line number; `amount` is
    money in the order's currency; `on` is the day it happened; `shipment` and `return_number` count from 1 within the
    order; `reference` identifies something outside the order: an invoice, a payment, the order that was split off or
    replaced. `Action.happened` gives the name that the history uses.

    The type of a field decides how HTTP and the command line read its values and how the history stores them
    (`FIELD_TYPES`), so fields with the same name have the same type.
    """

    action: ClassVar[Action]
    any_of: ClassVar[tuple[str, ...]] = ()
    with_lines: ClassVar[tuple[str, ...]] = ()
    note: FreeText | None = None

    @property
    def relines(self) -> bool:
        """Whether the event changes what was ordered: other lines, or smaller quantities."""
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin(EventBase):
    """The first event of a history. It has no fields; its row holds the initial state of the order."""

    action = Action.BEGIN


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeOrder(EventBase):
    """Changes of lines, by number, and of header fields, by name."""

    action = Action.CHANGE
    any_of: ClassVar[tuple[str, ...]] = ("line_edits", "details")
    line_edits: LineEdits = field(default_factory=dict)
    details: Details = field(default_factory=dict)

    @property
    def relines(self) -> bool:
        return bool(self.line_edits)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitOrder(EventBase):
    """Part of the order becomes a new order; `reference` is the number of that order."""

    action = Action.SPLIT
    lines: Quantities
    reference: str | None = field(default=None, metadata=RECORDED)

    @property
    def relines(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Verify(EventBase):
    action = Action.VERIFY
    reference: str | None = field(default=None, metadata=RECORDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirm(EventBase):
    action = Action.CONFIRM
    reference: str | None = field(default=None, metadata=RECORDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocate(EventBase):
    action = Action.ALLOCATE
    lines: Quantities = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deallocate(EventBase):
    """Reservations are given up; only those in `warehouse`, if it is given."""

    action = Action.DEALLOCATE
    lines: Quantities = field(default_factory=dict)
    warehouse: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick(EventBase):
    action = Action.PICK
    lines: Quantities = field(default_factory=dict)
    warehouse: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pack(EventBase):
    action = Action.PACK
    lines: Quantities = field(default_factory=dict)
    warehouse: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpack(EventBase):
    action = Action.UNPACK
    shipment: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Label(EventBase):
    action = Action.LABEL
    carrier: str
    tracking_number: str
    shipment: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ship(EventBase):
    """A packed shipment leaves; or `lines` are packed as a new shipment, which leaves at once."""

    action = Action.SHIP
    shipment: int | None = None
    lines: Quantities = field(default_factory=dict)
    warehouse: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    on: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Track(EventBase):
    """The carrier reports a status."""

    action = Action.TRACK
    status: ShipmentStatus
    shipment: int | None = None
    on: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliver(EventBase):
    action = Action.DELIVER
    shipment: int | None = None
    on: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel(EventBase):
    action = Action.CANCEL
    lines: Quantities = field(default_factory=dict)

    @property
    def relines(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class IssueInvoice(EventBase):
    action = Action.INVOICE
    amount: Decimal | None = None
    reference: str | None = field(default=None, metadata=RECORDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Authorize(EventBase):
    action = Action.AUTHORIZE
    amount: Decimal | None = None
    reference: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decline(EventBase):
    action = Action.DECLINE
    reference: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Capture(EventBase):
    action = Action.CAPTURE
    amount: Decimal | None = None
    reference: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refund(EventBase):
    action = Action.REFUND
    amount: Decimal | None = None
    reference: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceHold(EventBase):
    """The order waits for a person. `reference` names the verification rules that failed."""

    action = Action.HOLD
    hold: Hold
    reference: str | None = field(default=None, metadata=RECORDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class EscalateHold(EventBase):
    action = Action.ESCALATE
    hold: Hold


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseHold(EventBase):
    action = Action.RELEASE
    hold: Hold


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestReturn(EventBase):
    action = Action.REQUEST_RETURN
    lines: Quantities = field(default_factory=dict)
    reason: ReturnReason | None = None
    resolution: Resolution | None = None
    on: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ApproveReturn(EventBase):
    action = Action.APPROVE_RETURN
    return_number: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectReturn(EventBase):
    action = Action.REJECT_RETURN
    return_number: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelReturn(EventBase):
    action = Action.LABEL_RETURN
    carrier: str
    tracking_number: str
    return_number: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiveReturn(EventBase):
    action = Action.RECEIVE_RETURN
    return_number: int | None = None
    lines: Quantities = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectReturn(EventBase):
    """Returned goods were inspected: `lines` go back to stock in `warehouse`, `written_off` do not. `reference` is the
    number of the replacement order."""

    action = Action.INSPECT_RETURN
    any_of: ClassVar[tuple[str, ...]] = ("lines", "written_off")
    with_lines: ClassVar[tuple[str, ...]] = ("warehouse",)
    lines: Quantities = field(default_factory=dict)
    written_off: Quantities = field(default_factory=dict)
    warehouse: str | None = None
    return_number: int | None = None
    reference: str | None = field(default=None, metadata=RECORDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseReturn(EventBase):
    """Nothing more of the return will arrive. `reference` is the number of the replacement order."""

    action = Action.CLOSE_RETURN
    return_number: int | None = None
    reference: str | None = field(default=None, metadata=RECORDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance(EventBase):
    """The order reached the stage `to` automatically."""

    action = Action.ADVANCE
    to: Stage | None = field(default=None, metadata=RECORDED)


Event = (
    Begin
    | ChangeOrder
    | SplitOrder
    | Verify
    | Confirm
    | Allocate
    | Deallocate
    | Pick
    | Pack
    | Unpack
    | Label
    | Ship
    | Track
    | Deliver
    | Cancel
    | IssueInvoice
    | Authorize
    | Decline
    | Capture
    | Refund
    | PlaceHold
    | EscalateHold
    | ReleaseHold
    | RequestReturn
    | ApproveReturn
    | RejectReturn
    | LabelReturn
    | ReceiveReturn
    | InspectReturn
    | CloseReturn
    | Advance
)
"""Any event. A history is a list of these."""
EventAtWarehouse = Deallocate | Pick | Pack | Ship
"""Events that may name one warehouse; they then concern only the goods in it."""
StockEvent = Allocate | Deallocate | Pick | Pack | Ship | Cancel | InspectReturn
"""Events that move stock."""
LineEvent = (
    SplitOrder | Allocate | Deallocate | Pick | Pack | Ship | Cancel | RequestReturn | ReceiveReturn | InspectReturn
)
"""Events with quantities of lines."""
HouseEvent = Allocate | Deallocate | Pick | Cancel
"""Events that change the quantities of lines before shipment."""
ShipmentEvent = Pack | Unpack | Label | Ship | Track | Deliver
PaymentEvent = IssueInvoice | Authorize | Decline | Capture | Refund
HoldEvent = PlaceHold | EscalateHold | ReleaseHold
ReturnStep = ApproveReturn | RejectReturn | LabelReturn | ReceiveReturn | InspectReturn | CloseReturn
"""What can happen to a return once it is requested."""
ReturnEvent = RequestReturn | ReturnStep
EVENT_TYPES: Mapping[Action, type[Event]] = {kind.action: kind for kind in get_args(Event)}
