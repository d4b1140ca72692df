"""How far an order has come: its stage, and three axes that move on their own: quantities, money, holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from connector.model.money import CENTS, EXACT, to_cents
from connector.model.shipments import IN_HOUSE, ZERO, Return, Shipment
from connector.model.stage import Stage


class Hold(StrEnum):
    """Why an order waits for a person."""

    PAYMENT = "payment"
    ADDRESS = "address"
    STOCK = "stock"
    FRAUD = "fraud"
    CREDIT = "credit"
    MANUAL = "manual"


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
    """Quantities of one line, each counted from the beginning: ordered >= canceled + allocated, allocated >= picked >=
    shipped >= delivered >= returned >= credited (came back, and is not to be paid). `total` is the exact price of all
    that was ordered."""

    ordered: Decimal
    allocated: Decimal = ZERO
    picked: Decimal = ZERO
    shipped: Decimal = ZERO
    delivered: Decimal = ZERO
    returned: Decimal = ZERO
    credited: Decimal = ZERO
    canceled: Decimal = ZERO
    total: Decimal = ZERO

    @property
    def wanted(self) -> Decimal:
        return self.ordered - self.canceled

    @property
    def due(self) -> Decimal:
        """The exact price of what is neither canceled nor credited."""
        billed = self.wanted - self.credited
        if billed == self.ordered:
            return self.total
        return EXACT.divide(EXACT.multiply(self.total, billed), self.ordered)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderState:
    """One order. Money is counted from the beginning too: `captured` does not fall when something is `refunded`.

    `tax_rate` is a fraction that comes on top of lines and freight; `ship_complete`: no parcel leaves before all are
    packed. What is to be paid has as many decimals (`places`) as its currency.
    """

    number: str
    stage: Stage
    lines: Mapping[int, LineState]
    freight: Decimal = ZERO
    tax_rate: Decimal = ZERO
    ship_complete: bool = False
    invoiced: Decimal = ZERO
    authorized: Decimal = ZERO
    captured: Decimal = ZERO
    refunded: Decimal = ZERO
    declined: bool = False
    holds: frozenset[Hold] = field(default_factory=frozenset)
    shipments: Mapping[int, Shipment] = field(default_factory=dict)
    returns: Mapping[int, Return] = field(default_factory=dict)
    places: int = CENTS

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
        due = to_cents(untaxed, self.places)
        return due + to_cents(EXACT.multiply(untaxed, self.tax_rate), self.places) if self.tax_rate else due

    @property
    def tax(self) -> Decimal:
        """What of `due` is tax that comes on top of the prices, in cents."""
        return to_cents(EXACT.multiply(self._untaxed, self.tax_rate), self.places)

    @property
    def _untaxed(self) -> Decimal:
        lines = sum((line.due for line in self.lines.values()), ZERO)
        return EXACT.add(lines, self.freight) if self.wanted > 0 or not self.lines else ZERO

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
