"""What can be asked of an order: one class for each action, which is its event once it has happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import ClassVar, get_args

from connector.model.actions import Action
from connector.model.holds import Hold
from connector.model.shipments import Resolution, ReturnReason, ShipmentStatus
from connector.model.stage import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class LineEdit:
    """What one line is to be: a new line, or other values for one that is there. Quantity 0 takes it out."""

    sku: str
    quantity: Decimal
    unit_price: Decimal | None = None
    discount: Decimal = Decimal(0)


Detail = str | bool | date | Decimal | None
"""A value of an order besides its lines; None takes it out."""


Quantities = Mapping[int, Decimal]
"""By line number."""
RECORDED: Mapping[str, bool] = {"recorded": True}
"""Metadata of a field that is filled in while the event is carried out: it stands in the history, nobody asks it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventBase:
    """What every event has. Each action has a class of its own: a caller asks for it, and it stands in the history
    once it has happened (`Action.happened`). A field without a default must be given, of `any_of` at least
    one, and `with_lines` where lines are given.

    `lines` are quantities by line number; `amount` is money in the order's currency; `on` the day it happened;
    `shipment` and `return_number` count from 1 within the order; `reference` names what it concerns elsewhere: an
    invoice, a payment, the order that a split or a replacement made or was made from.
    """

    action: ClassVar[Action]
    any_of: ClassVar[tuple[str, ...]] = ()
    with_lines: ClassVar[tuple[str, ...]] = ()
    note: str | None = None

    @property
    def relines(self) -> bool:
        """Whether it makes the order another one than was asked for: with other lines, or less of them."""
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin(EventBase):
    """The first event of a history. It says nothing: the state it began with stands beside it."""

    action = Action.BEGIN


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeOrder(EventBase):
    """Lines by number, and header fields by name, as they are to be."""

    action = Action.CHANGE
    any_of: ClassVar[tuple[str, ...]] = ("line_edits", "details")
    line_edits: Mapping[int, LineEdit] = field(default_factory=dict)
    details: Mapping[str, Detail] = field(default_factory=dict)

    @property
    def relines(self) -> bool:
        return bool(self.line_edits)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitOrder(EventBase):
    """Part of the order becomes an order of its own, whose number is the reference."""

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
    """Lines that are given up; those in `warehouse`, if it names one."""

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
    """A packed shipment leaves; or `lines`, which are packed and leave at once."""

    action = Action.SHIP
    shipment: int | None = None
    lines: Quantities = field(default_factory=dict)
    warehouse: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    on: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Track(EventBase):
    """What the carrier reports."""

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
    """The reference names the rules of verification that it is for."""

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
    """`lines` go back to the shelf of `warehouse`, `written_off` does not. The reference is the replacement order."""

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
    """The reference is the replacement order."""

    action = Action.CLOSE_RETURN
    return_number: int | None = None
    reference: str | None = field(default=None, metadata=RECORDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance(EventBase):
    """A stage that came automatically."""

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
"""What can happen to an order. A history is a list of these."""
EventAtWarehouse = Deallocate | Pick | Pack | Ship
"""What may name one warehouse, and then concerns nothing in another."""
StockEvent = Allocate | Deallocate | Pick | Pack | Ship | Cancel | InspectReturn
"""What moves stock."""
LineEvent = (
    SplitOrder | Allocate | Deallocate | Pick | Pack | Ship | Cancel | RequestReturn | ReceiveReturn | InspectReturn
)
"""What names quantities of lines."""
HouseEvent = Allocate | Deallocate | Pick | Cancel
"""What moves quantities of lines within the house."""
ShipmentEvent = Pack | Unpack | Label | Ship | Track | Deliver
PaymentEvent = IssueInvoice | Authorize | Decline | Capture | Refund
HoldEvent = PlaceHold | EscalateHold | ReleaseHold
ReturnEvent = RequestReturn | ApproveReturn | RejectReturn | LabelReturn | ReceiveReturn | InspectReturn | CloseReturn
EVENT_TYPES: Mapping[Action, type[Event]] = {kind.action: kind for kind in get_args(Event)}
