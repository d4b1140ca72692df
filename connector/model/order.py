"""An order and its lines.

`OrderInput` is an order as it arrives by import or API; it refers to customer and products by number. `Order` is an
order as the store loads it: with its state, its customer and its products, so that a mapping can use `customer.name`.
Both have their header fields in an OrderHeader; a mapping path names these fields directly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from connector.model.actions import STOCK_EVENTS, EventKind
from connector.model.copying import INLINE, evolved
from connector.model.customer import Customer
from connector.model.money import CENTS, EXACT, places_of, to_cents
from connector.model.order_header import OrderHeader
from connector.model.order_state import FulfillmentStatus, LineState, OrderState, PaymentStatus
from connector.model.product import Product
from connector.model.shipments import ZERO, Return, ReturnReason, ReturnStatus
from connector.model.stage import OPEN, Stage

ONE = Decimal(1)
MOVING = ("allocated", "picked", "shipped", "delivered", "returned", "credited", "canceled")
"""The quantities of a line that commands change."""


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
    """An order as it arrives. Only an import gives a `stage` other than `placed`."""

    header: OrderHeader
    customer: str
    lines: tuple[LineInput, ...] = ()
    stage: Stage = Stage.PLACED

    @property
    def number(self) -> str:
        return self.header.number

    @property
    def key(self) -> str:
        return self.header.number

    def with_header(self, **values: Any) -> OrderInput:
        """Return a copy with other header values; None clears a field."""
        return evolved(self, {"header": self.header.with_values(values)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line with its product. Totals are exact: quantity x unit price x (1 - discount), never rounded per unit."""

    order: str
    number: int
    product: Product
    currency: str
    unit_price: Decimal | None
    discount: Decimal
    state: LineState = field(metadata=INLINE)
    waits: bool = False
    """Whether the order is allocated stock here: its stage is one of OPEN, and it was placed here, or a command has
    handled its goods since it was imported."""

    @property
    def key(self) -> str:
        return f"{self.order}-{self.number}"

    @property
    def quantity(self) -> Decimal:
        return self.state.quantity

    @property
    def backordered(self) -> Decimal:
        """The quantity that is wanted and not allocated; 0 before verification."""
        return self.state.wanted - self.state.allocated if self.waits else ZERO

    @property
    def price_key(self) -> str:
        """The key of the price book entry: product and currency. The lookup adds the price book."""
        return f"{self.product.sku}|{self.currency}"

    @property
    def exact_total(self) -> Decimal | None:
        """Quantity x unit price x (1 - discount), not rounded; None without a price."""
        return None if self.unit_price is None else self.state.total

    @property
    def net_unit_price(self) -> Decimal | None:
        """The unit price after discount, rounded to the currency's smallest unit, as the org's UnitPrice holds it."""
        if self.unit_price is None:
            return None
        places = min(places_of(self.currency), CENTS)
        return to_cents(EXACT.multiply(self.unit_price, EXACT.subtract(ONE, self.discount)), places)

    @property
    def discount_percent(self) -> Decimal:
        return self.discount * 100


def exact_total(quantity: Decimal, unit_price: Decimal | None, discount: Decimal) -> Decimal | None:
    """Return the total of a line, not rounded; None without a price."""
    if unit_price is None:
        return None
    return EXACT.multiply(EXACT.multiply(quantity, unit_price), EXACT.subtract(ONE, discount))


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """An order with everything that a mapping can use. `version` rises with every local change; `tracking_key` is the
    secret in the customer's tracking link."""

    customer: Customer
    lines: tuple[Line, ...]
    state: OrderState = field(metadata=INLINE)
    version: int
    tracking_key: str | None = None
    priority: int = 0

    @property
    def header(self) -> OrderHeader:
        return self.state.header

    @property
    def number(self) -> str:
        return self.state.header.number

    @property
    def key(self) -> str:
        return self.state.header.number

    @property
    def currency(self) -> str:
        return self.state.header.currency

    @property
    def stage(self) -> Stage:
        return self.state.stage

    def with_header(self, **values: Any) -> Order:
        """Return a copy with other header values; None clears a field."""
        return evolved(self, {"state": self.state.with_header(**values)})

    def at(self, state: OrderState, events: Collection[EventKind] = ()) -> Order:
        """Return the next version of the order, in `state` after `events`; its lines are the same, with their new
        quantities."""
        stocked = self._is_allocated_stock or not STOCK_EVENTS.isdisjoint(events)
        waits = stocked and state.stage in OPEN
        lines = []
        for line in self.lines:
            now = state.lines[line.number]
            unmoved = now is line.state and line.waits is waits
            lines.append(line if unmoved else evolved(line, {"waits": waits, "state": now}))
        return evolved(self, {"version": self.version + 1, "lines": tuple(lines), "state": state})

    @property
    def _is_allocated_stock(self) -> bool:
        placed_here = self.tracking_key is not None or self.stage is Stage.PLACED
        return placed_here or any(line.waits for line in self.lines)

    @property
    def fulfillment_status(self) -> FulfillmentStatus:
        return self.state.fulfillment_status

    @property
    def payment_status(self) -> PaymentStatus:
        return self.state.payment_status

    @property
    def amount_due(self) -> Decimal:
        """What the customer still has to pay, in whole cents; negative if a refund is due."""
        return EXACT.subtract(self.state.due, self.state.net)

    @property
    def destination(self) -> Mapping[str, str | None]:
        """The delivery address by part: the order's own, else the customer's."""
        parts = ("street", "city", "state", "postal_code", "country")
        header = self.state.header
        address = {part: getattr(header, f"ship_to_{part}") for part in parts}
        if any(address.values()) or header.ship_to_name:
            return {"name": header.ship_to_name or self.customer.name, **address}
        return {"name": self.customer.name, **{part: getattr(self.customer, part) for part in parts}}

    @property
    def tax(self) -> Decimal:
        """The tax that is added to the prices, in whole cents."""
        return self.state.tax

    @property
    def hold_reason(self) -> str | None:
        """All reasons why the order is on hold, as text; None if it is not on hold."""
        return ", ".join(sorted(self.state.holds)) or None

    @property
    def return_status(self) -> ReturnStatus | None:
        """The status of the latest return, None without one; rejected returns count only if there are no others."""
        latest = self._latest_return
        return latest.status if latest else None

    @property
    def return_reason(self) -> ReturnReason | None:
        latest = self._latest_return
        return latest.reason if latest else None

    @property
    def _latest_return(self) -> Return | None:
        accepted = [number for number, item in self.state.returns.items() if item.status is not ReturnStatus.REJECTED]
        return self.state.returns[max(accepted or self.state.returns)] if self.state.returns else None

    @property
    def net_total(self) -> Decimal:
        """The exact price of what is neither canceled nor credited, without freight and tax."""
        return sum((line.state.due for line in self.lines), ZERO)

    @property
    def exact_total(self) -> Decimal | None:
        """The sum of the exact line totals, without freight; None if a line has no price."""
        total = Decimal(0)
        for line in self.lines:
            if line.exact_total is None:
                return None
            total = EXACT.add(total, line.exact_total)
        return total
