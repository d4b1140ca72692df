"""An order and its lines, as the company keeps them.

`OrderInput` is what arrives (an import, later the API): it names customer and products by their numbers. `Order` is
what the store gives back: the same with customer and products beside it, so that a mapping can reach `customer.name`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from connector.model.copying import evolved
from connector.model.customer import Customer
from connector.model.money import CENTS, EXACT, places_of, to_cents
from connector.model.order_state import FulfillmentStatus, Hold, LineState, OrderState, PaymentStatus
from connector.model.product import Product
from connector.model.shipments import ZERO, Return, ReturnReason, ReturnStatus, Shipment
from connector.model.stage import OPEN, Stage

ONE = Decimal(1)
MOVING = ("allocated", "picked", "shipped", "delivered", "returned", "credited", "canceled")
"""Quantities of a line that commands move."""
_MOVED = (
    "stage", "invoiced", "authorized", "captured", "refunded", "declined", "holds", "shipments", "returns",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class LineInput:
    """One ordered product. `unit_price` is before discount; `discount` is a fraction of it (0.15 = 15 %)."""

    number: int
    sku: str
    quantity: Decimal
    unit_price: Decimal | None = None
    discount: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderInput:
    """An order as it arrives; `number` is its identity, so the same order can arrive any number of times.

    `tax_rate` is a fraction that comes on top of lines and freight (prices that include their tax need none);
    `stated_total` what the customer was told, tax and freight included, for verification to compare;
    `ship_complete`: no parcel leaves before all are packed; `delivery_note` is for the carrier.
    """

    number: str
    customer: str
    placed_at: datetime
    currency: str
    stage: Stage = Stage.PLACED
    channel: str | None = None
    service_level: str | None = None
    po_number: str | None = None
    notes: str | None = None
    promised_on: date | None = None
    shipped_on: date | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    freight: Decimal | None = None
    tax_rate: Decimal | None = None
    stated_total: Decimal | None = None
    ship_complete: bool = False
    delivery_note: str | None = None
    ship_to_name: str | None = None
    ship_to_street: str | None = None
    ship_to_city: str | None = None
    ship_to_state: str | None = None
    ship_to_postal_code: str | None = None
    ship_to_country: str | None = None
    lines: tuple[LineInput, ...] = ()

    @property
    def key(self) -> str:
        return self.number


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line with its product. Totals are exact: quantity x unit price x (1 - discount), never rounded per unit."""

    order: str
    number: int
    product: Product
    currency: str
    quantity: Decimal
    unit_price: Decimal | None
    discount: Decimal
    allocated: Decimal = ZERO
    picked: Decimal = ZERO
    shipped: Decimal = ZERO
    delivered: Decimal = ZERO
    returned: Decimal = ZERO
    credited: Decimal = ZERO
    canceled: Decimal = ZERO
    waits: bool = False
    """Whether its order is one that is given stock: in a stage of OPEN, and acted on here, not only imported."""

    @property
    def key(self) -> str:
        return f"{self.order}-{self.number}"

    @property
    def backordered(self) -> Decimal:
        """What is wanted and not allocated, from verification on."""
        return self.quantity - self.canceled - self.allocated if self.waits else ZERO

    @property
    def progress(self) -> LineState:
        return LineState(
            ordered=self.quantity,
            allocated=self.allocated,
            picked=self.picked,
            shipped=self.shipped,
            delivered=self.delivered,
            returned=self.returned,
            credited=self.credited,
            canceled=self.canceled,
            total=self.exact_total or ZERO,
        )

    @property
    def price_key(self) -> str:
        """Names the price book entry: product and currency; the org's price book is added when it is looked up."""
        return f"{self.product.sku}|{self.currency}"

    @property
    def exact_total(self) -> Decimal | None:
        return exact_total(self.quantity, self.unit_price, self.discount)

    @property
    def net_unit_price(self) -> Decimal | None:
        """Unit price after discount in whole cents (or yen): what the org's UnitPrice can hold."""
        if self.unit_price is None:
            return None
        places = min(places_of(self.currency), CENTS)
        return to_cents(EXACT.multiply(self.unit_price, EXACT.subtract(ONE, self.discount)), places)

    @property
    def discount_percent(self) -> Decimal:
        return self.discount * 100


def exact_total(quantity: Decimal, unit_price: Decimal | None, discount: Decimal) -> Decimal | None:
    """Of a line; None without a price."""
    if unit_price is None:
        return None
    return EXACT.multiply(EXACT.multiply(quantity, unit_price), EXACT.subtract(ONE, discount))


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """An order with everything a mapping may ask of it. `version` rises with every local change."""

    number: str
    version: int
    customer: Customer
    placed_at: datetime
    currency: str
    stage: Stage
    channel: str | None
    service_level: str | None = None
    po_number: str | None
    notes: str | None
    promised_on: date | None
    shipped_on: date | None
    carrier: str | None
    tracking_number: str | None
    freight: Decimal | None
    ship_to_name: str | None
    ship_to_street: str | None
    ship_to_city: str | None
    ship_to_state: str | None
    ship_to_postal_code: str | None
    ship_to_country: str | None
    lines: tuple[Line, ...]
    invoiced: Decimal = ZERO
    authorized: Decimal = ZERO
    captured: Decimal = ZERO
    refunded: Decimal = ZERO
    declined: bool = False
    holds: frozenset[Hold] = frozenset()
    shipments: Mapping[int, Shipment] = field(default_factory=dict)
    returns: Mapping[int, Return] = field(default_factory=dict)
    tracking_key: str | None = None
    priority: int = 0
    invoice_number: str | None = None
    tax_rate: Decimal | None = None
    stated_total: Decimal | None = None
    ship_complete: bool = False
    delivery_note: str | None = None

    @property
    def key(self) -> str:
        return self.number

    @property
    def progress(self) -> OrderState:
        return OrderState(
            number=self.number,
            stage=self.stage,
            lines={line.number: line.progress for line in self.lines},
            freight=self.freight or ZERO,
            tax_rate=self.tax_rate or ZERO,
            ship_complete=self.ship_complete,
            invoiced=self.invoiced,
            authorized=self.authorized,
            captured=self.captured,
            refunded=self.refunded,
            declined=self.declined,
            holds=self.holds,
            shipments=self.shipments,
            returns=self.returns,
            places=places_of(self.currency),
        )

    def at(self, progress: OrderState, before: OrderState) -> Order:
        """The next version of the order, of which `before` is the progress: everything that moves is as `progress`
        says."""
        waits = progress.stage in OPEN
        lines = []
        for line in self.lines:
            now = progress.lines[line.number]
            if now is before.lines[line.number] and line.waits is waits:
                lines.append(line)
            else:
                lines.append(evolved(line, {"waits": waits} | {name: getattr(now, name) for name in MOVING}))
        moved = {name: getattr(progress, name) for name in _MOVED}
        return evolved(self, {"version": self.version + 1, "lines": tuple(lines)} | moved)

    @property
    def fulfillment_status(self) -> FulfillmentStatus:
        return self.progress.fulfillment_status

    @property
    def payment_status(self) -> PaymentStatus:
        return self.progress.payment_status

    @property
    def amount_due(self) -> Decimal:
        """What the customer still has to pay, in whole cents; less than 0 where a refund is due."""
        return EXACT.subtract(self.progress.due, self.progress.net)

    @property
    def destination(self) -> Mapping[str, str | None]:
        """Where it goes, by part of the address: as it says, else to its customer."""
        parts = ("street", "city", "state", "postal_code", "country")
        said = {part: getattr(self, f"ship_to_{part}") for part in parts}
        if any(said.values()) or self.ship_to_name:
            return {"name": self.ship_to_name or self.customer.name, **said}
        return {"name": self.customer.name, **{part: getattr(self.customer, part) for part in parts}}

    @property
    def tax(self) -> Decimal:
        """What of the amount is tax that comes on top of the prices, in whole cents."""
        return self.progress.tax

    @property
    def hold_reason(self) -> str | None:
        """Why it is on hold, every reason named; None if it is not."""
        return ", ".join(sorted(self.holds)) or None

    @property
    def return_status(self) -> ReturnStatus | None:
        """How far the latest return is, of those that were not rejected if there are any; None without one."""
        latest = self._latest_return
        return latest.status if latest else None

    @property
    def return_reason(self) -> ReturnReason | None:
        latest = self._latest_return
        return latest.reason if latest else None

    @property
    def _latest_return(self) -> Return | None:
        accepted = [number for number, item in self.returns.items() if item.status is not ReturnStatus.REJECTED]
        return self.returns[max(accepted or self.returns)] if self.returns else None

    @property
    def net_total(self) -> Decimal:
        """The exact price of what is neither canceled nor credited, freight and tax apart."""
        return sum((line.progress.due for line in self.lines), ZERO)

    @property
    def exact_total(self) -> Decimal | None:
        """Sum of the exact line totals, freight apart; None while a line has no price."""
        total = Decimal(0)
        for line in self.lines:
            if line.exact_total is None:
                return None
            total = EXACT.add(total, line.exact_total)
        return total
