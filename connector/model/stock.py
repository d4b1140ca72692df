"""Stock per product and warehouse, and what of it is reserved for an order line. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from connector.model.shipments import ZERO

StockKey = tuple[str, str]
"""SKU and warehouse."""

ReservationKey = tuple[str, int, str]
"""Order, line and warehouse."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """What is reserved for one line in one warehouse and has not left; `picked` is the part that is off the shelf."""

    quantity: Decimal
    picked: Decimal = ZERO

    @property
    def unpicked(self) -> Decimal:
        return self.quantity - self.picked


@dataclass(frozen=True, kw_only=True, slots=True)
class StockLevel:
    """`reserved` is the part of `on_hand` that is promised to orders and has not left yet; `since` the day on which the
    oldest of it arrived."""

    on_hand: Decimal
    reserved: Decimal = ZERO
    since: date | None = None

    @property
    def available(self) -> Decimal:
        return self.on_hand - self.reserved
