"""The facts of an order that rules can use. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from connector.model.customer import Customer
from connector.model.customer_history import CustomerHistory
from connector.model.money import to_cents
from connector.model.order import Line, Order
from connector.model.product import Product
from connector.model.shipments import ZERO

ADDRESS = ("street", "city", "country")


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderFacts:
    """The facts of an order. A text that lists something is None if there is nothing to list."""

    customer: Customer
    channel: str | None
    currency: str
    service_level: str | None
    ship_to_country: str | None
    value: Decimal
    days_to_promise: int | None
    waiting_days: int
    largest_quantity: Decimal
    off_list_percent: Decimal
    missing_address: str | None
    unknown_products: str | None
    unsold_products: str | None
    unpriced_lines: str | None
    stated_total: Decimal | None
    off_stated: Decimal | None
    open_balance: Decimal
    orders_of_the_day: int
    earlier_orders: int
    payment_status: str
    authorized: Decimal
    captured: Decimal


def facts_of(order: Order, now: datetime, history: CustomerHistory | None = None) -> OrderFacts:
    """Return the facts of `order` at `now`."""
    history = history or CustomerHistory()
    header, state = order.header, order.state
    there = order.destination
    missing = [name for name in ADDRESS if not there[name]]
    return OrderFacts(
        customer=order.customer,
        channel=header.channel,
        currency=order.currency,
        service_level=header.service_level,
        ship_to_country=there["country"],
        value=state.due,
        days_to_promise=None if header.promised_on is None else (header.promised_on - now.date()).days,
        waiting_days=(now - header.placed_at).days,
        largest_quantity=max((line.quantity for line in state.lines.values()), default=ZERO),
        off_list_percent=max((_off_list(line) for line in order.lines), default=ZERO),
        missing_address=" and ".join(missing) or None,
        unknown_products=_list_skus(line.product for line in order.lines if line.product.placeholder),
        unsold_products=_list_skus(
            line.product for line in order.lines if not line.product.active and not line.product.placeholder
        ),
        unpriced_lines=", ".join(str(line.number) for line in order.lines if line.unit_price is None) or None,
        stated_total=header.stated_total,
        off_stated=None if header.stated_total is None else header.stated_total - state.due,
        open_balance=history.open_balance,
        orders_of_the_day=history.orders_of_the_day,
        earlier_orders=history.earlier_orders,
        payment_status=state.payment_status.value,
        authorized=state.authorized,
        captured=state.captured,
    )


def _list_skus(products: Iterable[Product]) -> str | None:
    return ", ".join(product.sku for product in products) or None


def _off_list(line: Line) -> Decimal:
    """Return by how many percent the discounted price of a line differs from the list price; 0 without a list price."""
    listed: Mapping[str, Decimal] = {price.currency: price.unit_price for price in line.product.prices}
    there = listed.get(line.currency, ZERO)
    if line.unit_price is None or there == 0:
        return ZERO
    return to_cents(abs(line.unit_price * (1 - line.discount) / there - 1) * 100)
