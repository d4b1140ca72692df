"""The contents of an invoice, to the cent: lines, freight, tax, and the rounding between lines and order total. PURE.

An invoice is built once, when it is issued, and stored as JSON: later changes of order, customer or rules do not
change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from connector.model.money import EXACT, places_of, plain, to_cents
from connector.model.order import Order
from connector.model.order_state import OrderState
from connector.model.shipments import ZERO
from connector.orders.policy.order_facts import facts_of
from connector.orders.policy.rules import Billing


@dataclass(frozen=True, kw_only=True, slots=True)
class InvoiceLine:
    """`total` is in cents; `unit_price` before discount, `discount` in percent."""

    number: int
    sku: str
    name: str
    quantity: Decimal
    unit_price: Decimal
    discount: Decimal
    total: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class InvoiceView:
    """The contents of an invoice. Of the order's `total`, `before` was invoiced earlier and `amount` is invoiced now.
    `tax_added` is the part of `total` that was added to the prices, if those are `net`."""

    number: str
    issued_on: str
    company: str
    company_address: tuple[str, ...]
    customer: str
    customer_number: str
    address: tuple[str, ...]
    order: str
    ordered_on: str
    po_number: str | None
    currency: str
    lines: tuple[InvoiceLine, ...]
    freight: Decimal
    rounding: Decimal
    total: Decimal
    before: Decimal
    amount: Decimal
    tax_rate: Decimal
    tax_added: Decimal = ZERO
    net: bool = False

    @property
    def goods(self) -> Decimal:
        return sum((line.total for line in self.lines), ZERO)

    @property
    def tax(self) -> Decimal:
        """The tax in `amount`. The taxes of all invoices of an order add up to the tax of its total."""
        return self._tax_until(self.before + self.amount) - self._tax_until(self.before)

    def _tax_until(self, amount: Decimal) -> Decimal:
        """Return the tax in the first `amount` of `total`."""
        included = EXACT.subtract(amount, EXACT.divide(amount, 1 + self.tax_rate))
        part = to_cents(included, self.places)
        if not self.net:
            return part
            # The tax of the whole was rounded when it was added; it may differ from `part` by a cent.
        return self.tax_added if amount >= self.total else min(part, self.tax_added)

    @property
    def places(self) -> int:
        return places_of(self.currency)

    def money(self, value: Decimal) -> str:
        """`1,204.50 USD`."""
        return f"{self.figure(value)} {self.currency}"

    def figure(self, value: Decimal) -> str:
        """`1,204.50`; with as many decimals as its currency has."""
        return f"{value:,.{self.places}f}"


def build_invoice(
    number: str, order: Order, before: OrderState, amount: Decimal, now: datetime, billing: Billing
) -> InvoiceView:
    """Build the invoice `number` over `amount`; `before` is the order's state before it."""
    lines = tuple(
        InvoiceLine(
            number=line.number,
            sku=line.product.sku,
            name=line.product.name,
            quantity=state.wanted - state.credited,
            unit_price=line.unit_price or ZERO,
            discount=line.discount * 100,
            total=to_cents(state.due, before.places),
        )
        for line in order.lines
        if (state := before.lines[line.number]).wanted > state.credited
    )
    freight = to_cents(before.header.freight or ZERO, before.places) if before.wanted > 0 else ZERO
    goods = sum((line.total for line in lines), ZERO)
    # An order's own rate is added to its prices; a rate of 0 means no tax, whatever the rules say.
    net = billing.net or order.header.tax_rate is not None
    rate = before.header.tax_rate or ZERO if net else billing.rate(facts_of(order, now))
    return InvoiceView(
        number=number,
        issued_on=now.date().isoformat(),
        company=billing.company,
        company_address=billing.address,
        customer=order.customer.name,
        customer_number=order.customer.number,
        address=_address(order),
        order=order.number,
        ordered_on=order.header.placed_at.date().isoformat(),
        po_number=order.header.po_number,
        currency=order.currency,
        lines=lines,
        freight=freight,
        rounding=before.due - before.tax - goods - freight,
        total=before.due,
        before=before.invoiced,
        amount=amount,
        tax_rate=rate,
        tax_added=before.tax,
        net=net,
    )


def dump(view: InvoiceView) -> str:
    return orjson.dumps(view, default=_text).decode()


def load(text: str) -> InvoiceView:
    document = orjson.loads(text)
    money = ("freight", "rounding", "total", "before", "amount", "tax_rate", "tax_added")
    figures = ("quantity", "unit_price", "discount", "total")
    return InvoiceView(
        **{
            "net": bool(Decimal(document.get("tax_added", 0))),  # earlier invoices do not have the field
            **document,
            **{name: Decimal(document.get(name, 0)) for name in money},
            "company_address": tuple(document["company_address"]),
            "address": tuple(document["address"]),
            "lines": tuple(
                InvoiceLine(**{**line, **{name: Decimal(line[name]) for name in figures}}) for line in document["lines"]
            ),
        }
    )


def _address(order: Order) -> tuple[str, ...]:
    customer = order.customer
    town = " ".join(part for part in (customer.postal_code, customer.city, customer.state) if part)
    return tuple(part for part in (*(customer.street or "").splitlines(), town, customer.country) if part)


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    raise TypeError(type(value).__name__)
