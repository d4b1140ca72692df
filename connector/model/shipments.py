"""The shipments and the returns of one order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

ZERO = Decimal(0)


class ShipmentStatus(StrEnum):
    """`exception`: the carrier reports a problem. `void`: the shipment was unpacked again."""

    PACKED = "packed"
    LABELED = "labeled"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    EXCEPTION = "exception"
    DELIVERED = "delivered"
    VOID = "void"


IN_HOUSE = frozenset({ShipmentStatus.PACKED, ShipmentStatus.LABELED})
ON_THE_WAY = frozenset({ShipmentStatus.IN_TRANSIT, ShipmentStatus.OUT_FOR_DELIVERY, ShipmentStatus.EXCEPTION})
CARRIER_STATUSES = tuple(status for status in ShipmentStatus if status in ON_THE_WAY | {ShipmentStatus.DELIVERED})
"""The statuses that a carrier reports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipment:
    """One parcel of an order, numbered from 1. `lines` are quantities by line number; `warehouse` is where it leaves
    from, None if its goods come from several warehouses or it is unknown."""

    number: int
    lines: Mapping[int, Decimal]
    status: ShipmentStatus = ShipmentStatus.PACKED
    warehouse: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    shipped_on: date | None = None
    delivered_on: date | None = None


class ReturnStatus(StrEnum):
    """`received`: some of the goods have arrived. `closed`: all goods that have arrived are inspected, and no more are
    expected."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    RECEIVED = "received"
    CLOSED = "closed"


OPEN_RETURNS = (ReturnStatus.REQUESTED, ReturnStatus.APPROVED, ReturnStatus.RECEIVED)
"""The statuses of a return that somebody has to work on."""


class Resolution(StrEnum):
    """What the customer gets for the returned goods."""

    REFUND = "refund"
    REPLACEMENT = "replacement"


class ReturnReason(StrEnum):
    """Why the customer returns goods."""

    DAMAGED = "damaged"
    DEFECTIVE = "defective"
    WRONG_ITEM = "wrong_item"
    NOT_AS_EXPECTED = "not_as_expected"
    TOO_LATE = "too_late"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReturnLine:
    """Quantities of one line in one return: requested >= received >= restocked + written_off."""

    requested: Decimal
    received: Decimal = ZERO
    restocked: Decimal = ZERO
    written_off: Decimal = ZERO

    @property
    def inspected(self) -> Decimal:
        return self.restocked + self.written_off


@dataclass(frozen=True, kw_only=True, slots=True)
class Return:
    """One return of an order, numbered from 1."""

    number: int
    lines: Mapping[int, ReturnLine] = field(default_factory=dict)
    status: ReturnStatus = ReturnStatus.REQUESTED
    reason: ReturnReason = ReturnReason.OTHER
    resolution: Resolution = Resolution.REFUND
    carrier: str | None = None
    tracking_number: str | None = None
    requested_on: date | None = None

    @property
    def open(self) -> bool:
        return self.status in OPEN_RETURNS
