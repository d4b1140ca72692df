"""Where an order stands: its header, its stage, and three axes that move on their own: quantities, money, holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from connector.model.copying import INLINE, INTERNAL, evolved
from connector.model.holds import Hold
from connector.model.money import EXACT, places_of, to_cents
from connector.model.order_header import OrderHeader
from connector.model.shipments import IN_HOUSE, ZERO, Return, Shipment
from connector.model.stage import Stage
from connector.model.taxes import tax_on


class FulfillmentStatus(StrEnum):
    """Derived from the quantities of all lines."""

    UNFULFILLED = "unfulfilled"
    PARTIALLY_ALLOCATED = "partially_allocated"
    ALLOCATED = "allocated"
    PICKING = "picking"
    PARTIALLY_SHIPPED = "partially_shipped"
    SHIPPED = "shipped"
    PARTIALLY_DELIVERED = "partially_delivered"
    DELIVERED = "delivered"
    PARTIALLY_RETURNED = "partially_returned"
    RETURNED = "returned"
    CANCELED = "canceled"


class PaymentStatus(StrEnum):
    """Derived from what is due and what has moved. `refund_due`: more was taken than is due by now."""

    UNPAID = "unpaid"
    FAILED = "failed"
    AUTHORIZED = "authorized"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    REFUND_DUE = "refund_due"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    NOTHING_DUE = "nothing_due"


@dataclass(frozen=True, kw_only=True, slots=True)
class LineState:
    """Quantities of one line, each counted from the beginning: quantity >= canceled + allocated, allocated >= picked >=
    shipped >= delivered >= returned >= credited (came back, and is not to be paid). `total` is the exact price of all
    that was ordered."""

    quantity: Decimal
    allocated: Decimal = ZERO
    picked: Decimal = ZERO
    shipped: Decimal = ZERO
    delivered: Decimal = ZERO
    returned: Decimal = ZERO
    credited: Decimal = ZERO
    canceled: Decimal = ZERO
    total: Decimal = field(default=ZERO, metadata=INTERNAL)

    @property
    def wanted(self) -> Decimal:
        return self.quantity - self.canceled

    @property
    def due(self) -> Decimal:
        """The exact price of what is neither canceled nor credited."""
        billed = self.wanted - self.credited
        if billed == self.quantity:
            return self.total
        return EXACT.divide(EXACT.multiply(self.total, billed), self.quantity)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderState:
    """One order: what was agreed on (`header`) and what has happened. A history that is replayed knows no more of the
    header than it keeps. Money is counted from the beginning: `captured` does not fall when something is `refunded`.
    `invoice_number` is the latest.
    """

    header: OrderHeader = field(metadata=INLINE)
    stage: Stage
    lines: Mapping[int, LineState]
    invoiced: Decimal = ZERO
    authorized: Decimal = ZERO
    captured: Decimal = ZERO
    refunded: Decimal = ZERO
    declined: bool = False
    invoice_number: str | None = None
    holds: frozenset[Hold] = field(default_factory=frozenset)
    shipments: Mapping[int, Shipment] = field(default_factory=dict)
    returns: Mapping[int, Return] = field(default_factory=dict)

    @property
    def number(self) -> str:
        return self.header.number

    @property
    def places(self) -> int:
        """How many decimals an amount to be paid has."""
        return places_of(self.header.currency)

    def with_header(self, **values: Any) -> OrderState:
        """The same with other values in its header; None takes a value out."""
        return evolved(self, {"header": self.header.with_values(values)})

    def sum(self, quantity: str) -> Decimal:
        """One quantity (`shipped`, …) over all lines."""
        return sum((getattr(line, quantity) for line in self.lines.values()), ZERO)

    def packed(self, line: int) -> Decimal:
        """What of one line is in a parcel that has not left yet."""
        parcels = (item for item in self.shipments.values() if item.status in IN_HOUSE)
        return sum((item.lines.get(line, ZERO) for item in parcels), ZERO)

    def packed_at(self, line: int, warehouse: str) -> Decimal:
        """What of one line is in a parcel that is to leave `warehouse`."""
        parcels = (item for item in self.shipments.values() if item.status in IN_HOUSE and item.warehouse == warehouse)
        return sum((item.lines.get(line, ZERO) for item in parcels), ZERO)

    @property
    def wanted(self) -> Decimal:
        return self.sum("wanted")

    @property
    def net(self) -> Decimal:
        """What we hold of the customer's money."""
        return self.captured - self.refunded

    @property
    def due(self) -> Decimal:
        """What the customer owes: all but what is canceled or credited, in cents, with its tax. Freight goes with the
        last line."""
        untaxed = self._untaxed
        return to_cents(untaxed, self.places) + tax_on(untaxed, self.header.tax_rate, self.places)

    @property
    def tax(self) -> Decimal:
        """What of `due` is tax that comes on top of the prices, in cents."""
        return tax_on(self._untaxed, self.header.tax_rate, self.places)

    @property
    def _untaxed(self) -> Decimal:
        lines = sum((line.due for line in self.lines.values()), ZERO)
        return EXACT.add(lines, self.header.freight or ZERO) if self.wanted > 0 or not self.lines else ZERO

    @property
    def fulfillment_status(self) -> FulfillmentStatus:
        wanted, shipped, delivered, returned = (
            self.sum(name) for name in ("wanted", "shipped", "delivered", "returned")
        )
        if wanted == 0 and self.lines:
            return FulfillmentStatus.CANCELED
        if returned:
            return FulfillmentStatus.RETURNED if returned == wanted else FulfillmentStatus.PARTIALLY_RETURNED
        if delivered:
            return FulfillmentStatus.DELIVERED if delivered == wanted else FulfillmentStatus.PARTIALLY_DELIVERED
        if shipped:
            return FulfillmentStatus.SHIPPED if shipped == wanted else FulfillmentStatus.PARTIALLY_SHIPPED
        if self.sum("picked"):
            return FulfillmentStatus.PICKING
        if allocated := self.sum("allocated"):
            return FulfillmentStatus.ALLOCATED if allocated == wanted else FulfillmentStatus.PARTIALLY_ALLOCATED
        return FulfillmentStatus.UNFULFILLED

    @property
    def payment_status(self) -> PaymentStatus:
        if self.captured:
            if self.net == 0:
                return PaymentStatus.REFUNDED
            if self.net > self.due:
                return PaymentStatus.REFUND_DUE
            if self.refunded:
                return PaymentStatus.PARTIALLY_REFUNDED
            return PaymentStatus.PAID if self.net == self.due else PaymentStatus.PARTIALLY_PAID
        if self.due == 0:
            return PaymentStatus.NOTHING_DUE
        if self.declined:
            return PaymentStatus.FAILED
        return PaymentStatus.AUTHORIZED if self.authorized else PaymentStatus.UNPAID
