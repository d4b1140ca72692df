"""The state of an order: its header, its stage, and three independent axes: line quantities, money and holds."""

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
    """How far the order is fulfilled; derived from the quantities of all lines."""

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
    """How far the order is paid; derived from what is due, captured and refunded. `refund_due`: more was captured than
    is due now."""

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
    """The quantities of one line. Each one only counts up: what is shipped still counts as allocated and picked.

    Invariants: quantity >= canceled + allocated; allocated >= picked >= shipped >= delivered >= returned >= credited
    (`credited` was returned and need not be paid). `total` is the exact price of `quantity`.
    """

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
        """The exact price of the quantity that is neither canceled nor credited."""
        billed = self.wanted - self.credited
        if billed == self.quantity:
            return self.total
        return EXACT.divide(EXACT.multiply(self.total, billed), self.quantity)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderState:
    """What was agreed on (`header`), and what has happened since.

    Amounts only count up: `captured` does not fall when something is refunded. `invoice_number` is the latest one. A
    state that is replayed from a history has only those header fields that the history keeps.
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
        """The number of decimals of an amount that can be paid in the order's currency."""
        return places_of(self.header.currency)

    def with_header(self, **values: Any) -> OrderState:
        """Return a copy with other header values; None clears a field."""
        return evolved(self, {"header": self.header.with_values(values)})

    def sum(self, quantity: str) -> Decimal:
        """Return the sum of one quantity (`shipped`, …) over all lines."""
        return sum((getattr(line, quantity) for line in self.lines.values()), ZERO)

    def packed(self, line: int) -> Decimal:
        """Return the quantity of a line that is in parcels that have not left."""
        parcels = (item for item in self.shipments.values() if item.status in IN_HOUSE)
        return sum((item.lines.get(line, ZERO) for item in parcels), ZERO)

    def packed_at(self, line: int, warehouse: str) -> Decimal:
        """Return the quantity of a line that is in parcels that have not left `warehouse`."""
        parcels = (item for item in self.shipments.values() if item.status in IN_HOUSE and item.warehouse == warehouse)
        return sum((item.lines.get(line, ZERO) for item in parcels), ZERO)

    @property
    def wanted(self) -> Decimal:
        return self.sum("wanted")

    @property
    def net(self) -> Decimal:
        """The customer's money that we hold: captured and not refunded."""
        return self.captured - self.refunded

    @property
    def due(self) -> Decimal:
        """The price of everything that is neither canceled nor credited, in cents, with tax. Freight is due as long as
        one line is not canceled."""
        untaxed = self._untaxed
        return to_cents(untaxed, self.places) + tax_on(untaxed, self.header.tax_rate, self.places)

    @property
    def tax(self) -> Decimal:
        """The part of `due` that is tax added to the prices, in cents."""
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
