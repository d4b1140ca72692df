"""What can be asked of an order, and what an event says. A history is a list of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from connector.model.parcels import Resolution, ReturnReason, ShipmentStatus
from connector.model.progress import Hold
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
    AUTHORISE = "authorise"
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What one line is to be: a new line, or other terms for one that is there. Quantity 0 takes it out."""

    sku: str
    quantity: Decimal
    unit_price: Decimal | None = None
    discount: Decimal = Decimal(0)


Detail = str | bool | date | Decimal | None
"""A value of an order besides its lines; None takes it out."""

ADDRESS = frozenset(
    {"ship_to_name", "ship_to_street", "ship_to_city", "ship_to_state", "ship_to_postal_code", "ship_to_country"}
)
PERSONAL = ADDRESS | {"delivery_note", "notes"}
"""Details about a person: of these a history keeps the names alone."""

DETAILS: Mapping[str, type] = {
    **dict.fromkeys(sorted(ADDRESS), str),
    "promised_on": date,
    "service_level": str,
    "ship_complete": bool,
    "delivery_note": str,
    "freight": Decimal,
    "tax_rate": Decimal,
    "stated_total": Decimal,
    "po_number": str,
    "notes": str,
}
"""What `change` can say of an order besides its lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened. What an action does not speak of stays empty.

    `lines` are quantities by line number (of an inspection: what goes back to the shelf of `warehouse`; of the end of
    an allocation: what is given up there); `written_off` what does not go back; `terms` new terms by line number;
    `details` what else of the order is to be different, by the names of DETAILS;
    `amount` money in the order's currency; `on` the day it happened; `shipment` and `return_number` count from 1 within
    the order; `reference` names what it concerns elsewhere: an invoice, a payment, the order that a split or a
    replacement made, the rules of verification that put it on hold.
    """

    action: Action
    lines: Mapping[int, Decimal] = field(default_factory=dict)
    written_off: Mapping[int, Decimal] = field(default_factory=dict)
    terms: Mapping[int, Terms] = field(default_factory=dict)
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

    @property
    def relines(self) -> bool:
        """Whether it makes the order another one than was asked for: with other lines, or less of them."""
        return bool(self.terms) or self.action in {Action.CANCEL, Action.SPLIT}
