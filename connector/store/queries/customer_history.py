"""Loads the customer histories that verification rules need: other orders and open balances."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.customer_history import CustomerHistory
from connector.model.money import EXACT
from connector.model.order import Order, exact_total
from connector.model.order_header import OrderHeader
from connector.model.order_state import LineState, OrderState
from connector.model.shipments import ZERO
from connector.model.stage import Stage
from connector.store.sql import chunks, select_in
from connector.store.tables import order_lines, orders

DAY = timedelta(days=1)
_DONE = (Stage.COMPLETED.value, Stage.CANCELED.value)
_OPEN_NAMES = ("number", "customer", "placed_at", "currency", "stage", "freight", "tax_rate", "captured", "refunded")
_OPEN = tuple(orders.c[name] for name in _OPEN_NAMES)


async def load_customer_histories(connection: AsyncConnection, some: Sequence[Order]) -> dict[str, CustomerHistory]:
    """Return the history of the customer of each order, by order number; the order itself is not counted."""
    if not some:
        return {}
    before = await _count_earlier_orders(connection, some)
    days = await _recent_orders(connection, some)
    balances = await _open_balances(connection, some)
    return {
        order.number: CustomerHistory(
            open_balance=balances.get(order.number, ZERO),
            orders_of_the_day=sum(
                order.header.placed_at - DAY < moment <= order.header.placed_at
                for number, moment in days.get(order.customer.number, ())
                if number != order.number
            ),
            earlier_orders=before.get(order.number, 0),
        )
        for order in some
    }


async def _count_earlier_orders(connection: AsyncConnection, some: Sequence[Order]) -> dict[str, int]:
    """Return the number of earlier orders of the same customer, by order number."""
    return dict(await select_in(connection, _earlier_orders(), orders.c.number, [order.number for order in some]))


@cache
def _earlier_orders() -> Select[Any]:
    earlier = orders.alias("earlier")
    same = (earlier.c.customer == orders.c.customer) & (earlier.c.number != orders.c.number)
    return (
        select(orders.c.number, func.count())
        .join(earlier, same & (earlier.c.placed_at <= orders.c.placed_at))
        .group_by(orders.c.number)
    )


_RECENT = select(orders.c.customer, orders.c.number, orders.c.placed_at).where(
    orders.c.placed_at > bindparam("the_first"), orders.c.placed_at <= bindparam("the_last")
)


async def _recent_orders(connection: AsyncConnection, some: Sequence[Order]) -> dict[str, list[tuple[str, datetime]]]:
    """Return (number, time) of the orders that these customers placed around the same time, by customer."""
    moments = [order.header.placed_at for order in some]
    span = {"the_first": min(moments) - DAY, "the_last": max(moments)}
    customers = sorted({order.customer.number for order in some})
    recent: dict[str, list[tuple[str, datetime]]] = {}
    for customer, number, moment in await select_in(connection, _RECENT, orders.c.customer, customers, **span):
        recent.setdefault(customer, []).append((number, moment))
    return recent


async def _open_balances(connection: AsyncConnection, some: Sequence[Order]) -> dict[str, Decimal]:
    """Return what is owed on other open orders of the same customer in the same currency, by order number.

    The orders of each customer are read once, as a stream: never more than one of them is in memory.
    """
    limited = [order for order in some if order.customer.credit_limit is not None]
    balances: dict[tuple[str, str], Decimal] = {}
    own: dict[str, Decimal] = dict.fromkeys((order.number for order in limited), ZERO)
    line = order_lines.c
    statement = (
        select(*_OPEN, line.number.label("line"), line.quantity, line.unit_price, line.discount)
        .add_columns(line.canceled, line.credited)
        .outerjoin(order_lines, line.order_number == orders.c.number)
        .where(orders.c.stage.not_in(_DONE))
        .order_by(orders.c.number)
    )
    for chunk in chunks(sorted({order.customer.number for order in limited})):
        async with connection.stream(statement.where(orders.c.customer.in_(chunk))) as rows:
            async for order_rows in _group_by_order(rows):
                first, due = order_rows[0], _due(order_rows)
                account = (first.customer, first.currency)
                balances[account] = EXACT.add(balances.get(account, ZERO), due)
                if first.number in own:
                    own[first.number] = due
    return {
        order.number: EXACT.subtract(balances.get((order.customer.number, order.currency), ZERO), own[order.number])
        for order in limited
    }


async def _group_by_order(rows: AsyncIterator[Any]) -> AsyncIterator[list[Any]]:
    """Yield the rows of one order at a time; `rows` are sorted by order."""
    order_rows: list[Any] = []
    async for row in rows:
        if order_rows and row.number != order_rows[0].number:
            yield order_rows
            order_rows = []
        order_rows.append(row)
    if order_rows:
        yield order_rows


def _due(rows: Sequence[Any]) -> Decimal:
    """Return the amount due of an open order, like `Order.amount_due`. For an open stage, an import implies no
    payments."""
    order = rows[0]
    lines = {
        row.line: LineState(
            quantity=row.quantity,
            canceled=row.canceled,
            credited=row.credited,
            total=exact_total(row.quantity, row.unit_price, row.discount) or ZERO,
        )
        for row in rows
        if row.line is not None
    }
    state = OrderState(
        header=OrderHeader(
            number=order.number,
            placed_at=order.placed_at,
            currency=order.currency,
            freight=order.freight,
            tax_rate=order.tax_rate,
        ),
        stage=Stage(order.stage),
        lines=lines,
        captured=order.captured,
        refunded=order.refunded,
    )
    return EXACT.subtract(state.due, state.net)
