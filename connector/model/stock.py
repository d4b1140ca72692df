"""Stock levels by product and warehouse, and reservations of order lines. PURE."""

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
    """The quantity reserved for one line in one warehouse that has not left; `picked` is the part that is picked."""

    quantity: Decimal
    picked: Decimal = ZERO

    @property
    def unpicked(self) -> Decimal:
        return self.quantity - self.picked


@dataclass(frozen=True, kw_only=True, slots=True)
class StockLevel:
    """The stock of one product in one warehouse. `reserved` is the part of `on_hand` that is promised to orders and has
    not left; `since` is the day on which the oldest goods arrived."""

    on_hand: Decimal
    reserved: Decimal = ZERO
    since: date | None = None

    @property
    def available(self) -> Decimal:
        return self.on_hand - self.reserved
