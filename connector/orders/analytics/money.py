"""What orders bring, and what comes back. Amounts of different currencies are never added up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Numeric, and_, cast, distinct, exists, func, or_, select

from connector.model.money import EXACT, places_of, to_cents
from connector.model.shipments import ZERO, ReturnStatus
from connector.orders.analytics.figure import ARRIVED, GONE, IMPORTED, Period, share, stream
from connector.store.engine import Connection
from connector.store.tables import order_lines, orders
from connector.store.tables import returns as table

ONE = Decimal(1)
Key = tuple[str, str]
"""Channel and currency."""


async def revenue(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    order = orders.c
    money: defaultdict[Key, Decimal] = defaultdict(Decimal)
    number: Counter[Key] = Counter()
    counting = (
        select(order.channel, order.currency, func.count()).where(period.orders).group_by(order.channel, order.currency)
    )
    for channel, currency, count in await connection.execute(counting):
        number[channel or "", currency] += count
    here = select(order.channel, order.currency, order.captured, order.refunded).where(period.orders, order.events > 0)
    async for channel, currency, captured, refunded in stream(connection, here):
        money[channel or "", currency] += captured - refunded
    await _imported(connection, period, money)
    return [(*key, number[key], to_cents(money[key], places_of(key[1]))) for key in sorted(number)]


async def _imported(connection: Connection, period: Period, money: defaultdict[Key, Decimal]) -> None:
    """Add what imported orders come to, each in cents, as it would be invoiced (`Progress.due`)."""
    order, line = orders.c, order_lines.c
    statement = (
        select(
            order.number,
            order.channel,
            order.currency,
            order.freight,
            order.tax_rate,
            line.quantity,
            line.unit_price,
            line.discount,
        )
        .outerjoin(order_lines, line.order_number == order.number)
        .where(period.orders, IMPORTED, order.stage.in_(GONE))
        .order_by(order.number)
    )
    here, key, total, tax = "", ("", ""), ZERO, ZERO

    def close() -> None:
        places = places_of(key[1])
        money[key] += to_cents(total, places) + to_cents(EXACT.multiply(total, tax), places)

    async for number, channel, currency, freight, rate, quantity, price, discount in stream(connection, statement):
        if number != here:
            close()
            here, key, total, tax = number, (channel or "", currency), freight or ZERO, rate or ZERO
        total = EXACT.add(total, _price(quantity, price, discount))
    close()


async def returns(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    line = order_lines.c
    # SQLite keeps exact numbers as text, which would compare as text.
    some = exists().where(line.order_number == orders.c.number, cast(line.delivered, Numeric) > 0)
    sold = and_(period.orders, or_(and_(IMPORTED, orders.c.stage.in_(ARRIVED)), some))
    whole = (await connection.execute(select(func.count()).select_from(orders).where(sold))).scalar_one()
    statement = (
        select(table.c.reason, func.count(distinct(table.c.order_number)))
        .join(orders, orders.c.number == table.c.order_number)
        .where(sold, table.c.status != ReturnStatus.REJECTED.value)
        .group_by(table.c.reason)
    )
    return sorted((reason, number, share(number, whole)) for reason, number in await connection.execute(statement))


async def return_reasons(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    line = order_lines.c
    statement = (
        select(table.c.reason, orders.c.currency, table.c.order_number, table.c.lines, table.c.status)
        .add_columns(line.number, line.unit_price, line.discount)
        .join(orders, orders.c.number == table.c.order_number)
        .join(order_lines, line.order_number == table.c.order_number)
        .where(period.orders, table.c.status != ReturnStatus.REJECTED.value)
        .order_by(table.c.order_number, table.c.number)
    )
    found: defaultdict[Key, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    seen: dict[Key, str] = {}
    count: Counter[Key] = Counter()
    async for reason, currency, order, lines, status, number, price, discount in stream(connection, statement):
        back = orjson.loads(lines).get(str(number))
        if back is None:
            continue
        # Of a return that is closed nothing more comes than what has come.
        key, quantity = (reason, currency), Decimal(back["received" if status == ReturnStatus.CLOSED else "requested"])
        if not quantity:
            continue
        count[key] += seen.get(key) != order
        seen[key] = order
        found[key][0] += quantity
        found[key][1] = EXACT.add(found[key][1], _price(quantity, price, discount))
    return [
        (*key, count[key], quantity, to_cents(value, places_of(key[1])))
        for key, (quantity, value) in sorted(found.items())
    ]


def _price(quantity: Decimal | None, price: Decimal | None, discount: Decimal | None) -> Decimal:
    if quantity is None or price is None or discount is None:
        return ZERO
    return EXACT.multiply(EXACT.multiply(quantity, price), EXACT.subtract(ONE, discount))
