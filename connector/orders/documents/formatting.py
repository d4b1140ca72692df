"""Format quantities and dates, and number parcels, the same way in pages and notifications. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from connector.model.money import plain
from connector.model.order import Order
from connector.model.shipments import ShipmentStatus


def quantity(value: Decimal) -> str:
    """`1,110`, `1.5`: like the amounts beside it, without needless zeros."""
    return f"{Decimal(plain(value)):,f}"


def day(value: date) -> str:
    """`5 March 2026`."""
    return f"{value.day} {value:%B %Y}"


def moment(value: datetime) -> str:
    """`5 March 2026, 14:30 UTC`."""
    return f"{day(value)}, {value.astimezone(UTC):%H:%M} UTC"


def parcels(order: Order) -> Mapping[int, int]:
    """Return the customer's number of each shipment; shipments that were unpacked again are not counted."""
    packed = sorted(number for number, item in order.state.shipments.items() if item.status is not ShipmentStatus.VOID)
    return {number: place for place, number in enumerate(packed, start=1)}
