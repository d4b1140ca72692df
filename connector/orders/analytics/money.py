"""Metrics of revenue and returns. Amounts of different currencies are never added up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from connector.model.money import EXACT, places_of, to_cents
from connector.model.period import Period
from connector.model.shipments import ZERO
from connector.orders.analytics.metric import share
from connector.store.engine import Connection
from connector.store.queries import analytics

ONE = Decimal(1)
Key = tuple[str, str]
"""Channel and currency."""


async def revenue(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    money: defaultdict[Key, Decimal] = defaultdict(Decimal)
    number: Counter[Key] = Counter()
    for channel, currency, count in await analytics.count_orders_by_channel(connection, period):
        number[channel or "", currency] += count
    async for channel, currency, captured, refunded in analytics.stream_payments(connection, period):
        money[channel or "", currency] += captured - refunded
    await _add_imported(connection, period, money)
    return [(*key, number[key], to_cents(money[key], places_of(key[1]))) for key in sorted(number)]


async def _add_imported(connection: Connection, period: Period, money: defaultdict[Key, Decimal]) -> None:
    """Add the amounts of imported orders, each in cents, as it would be invoiced (`OrderState.due`)."""
    here, key, total, tax = "", ("", ""), ZERO, ZERO

    def close() -> None:
        places = places_of(key[1])
        money[key] += to_cents(total, places) + to_cents(EXACT.multiply(total, tax), places)

    async for line in analytics.stream_imported_lines(connection, period):
        if line.order_number != here:
            close()
            here, key = line.order_number, (line.channel or "", line.currency)
            total, tax = line.freight or ZERO, line.tax_rate or ZERO
        total = EXACT.add(total, _price(line.quantity, line.unit_price, line.discount))
    close()


async def returns(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    delivered, reasons = await analytics.count_returned_orders(connection, period)
    return sorted((reason, number, share(number, delivered)) for reason, number in reasons)


async def return_reasons(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    totals: defaultdict[Key, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    last_order: dict[Key, str] = {}
    count: Counter[Key] = Counter()
    async for line in analytics.stream_returned_lines(connection, period):
        # Nothing more arrives for a closed return, so what was received counts.
        quantity = line.received if line.closed else line.requested
        if not quantity:
            continue
        key = (line.reason, line.currency)
        count[key] += last_order.get(key) != line.order_number
        last_order[key] = line.order_number
        totals[key][0] += quantity
        totals[key][1] = EXACT.add(totals[key][1], _price(quantity, line.unit_price, line.discount))
    return [
        (*key, count[key], quantity, to_cents(value, places_of(key[1])))
        for key, (quantity, value) in sorted(totals.items())
    ]


def _price(quantity: Decimal | None, price: Decimal | None, discount: Decimal | None) -> Decimal:
    if quantity is None or price is None or discount is None:
        return ZERO
    return EXACT.multiply(EXACT.multiply(quantity, price), EXACT.subtract(ONE, discount))
