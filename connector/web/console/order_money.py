"""What an order costs, and what was paid of it, as amounts that add up: computed as its invoice is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from connector.model.money import EXACT, to_cents
from connector.model.order import Order
from connector.model.shipments import ZERO
from connector.orders.documents.invoice import build_invoice
from connector.orders.policy.rules import Billing


@dataclass(frozen=True, kw_only=True, slots=True)
class MoneyRow:
    """An amount with its name. `kind`: a `part` of the sum above or below it, a `sum`, or a `note` that counts for
    nothing."""

    title: str
    amount: Decimal
    kind: str = "part"


def money_rows(order: Order, now: datetime, billing: Billing) -> Sequence[MoneyRow]:
    """The amounts of an order: list price, discount, freight, tax and total; then what was paid, and what is left."""
    state = order.state
    view = build_invoice("", order, state, ZERO, now, billing)
    listed = sum(
        (
            EXACT.multiply(line.unit_price or ZERO, line.state.wanted - line.state.credited)
            for line in order.lines
        ),
        ZERO,
    )  # fmt: skip
    subtotal = to_cents(listed, state.places)
    discount = view.goods - subtotal
    parts = [
        MoneyRow(title="Goods at unit prices", amount=subtotal),
        MoneyRow(title="Discount", amount=discount),
        MoneyRow(title="Freight", amount=view.freight),
        MoneyRow(title="Rounding", amount=view.rounding),
        MoneyRow(title=f"Tax, {view.tax_rate * 100:f} %".replace(".00 %", " %"), amount=view.tax_added),
    ]
    rows = [row for row in parts if row.amount or row.title.startswith("Goods")]
    rows.append(MoneyRow(title="Total", amount=view.total, kind="sum"))
    rows += [
        MoneyRow(title="Captured", amount=-state.captured),
        *([MoneyRow(title="Refunded", amount=state.refunded)] if state.refunded else []),
        MoneyRow(title="Still to pay" if order.amount_due >= 0 else "To refund", amount=order.amount_due, kind="sum"),
        MoneyRow(title="Invoiced", amount=state.invoiced, kind="note"),
        *([MoneyRow(title="Authorized", amount=state.authorized, kind="note")] if state.authorized else []),
    ]
    return rows
