"""What is known of a customer beside one order: what else was ordered, what else is owed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.order import Order
from connector.model.parcels import ZERO
from connector.model.stage import Stage
from connector.store import orders as order_store
from connector.store.bulk import select_in
from connector.store.tables import orders

DAY = timedelta(days=1)
_DONE = (Stage.COMPLETED.value, Stage.CANCELLED.value)
MOST_OPEN = 1000
"""Open orders of one customer that are added up; whoever has more is no customer with a credit limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """`open_balance`: owed on other orders, known for customers with a credit limit only."""

    open_balance: Decimal = ZERO
    orders_of_the_day: int = 0
    earlier_orders: int = 0


async def standings(connection: AsyncConnection, some: Sequence[Order]) -> dict[str, Standing]:
    """By order number."""
    if not some:
        return {}
    before = await _before(connection, some)
    days = await _days(connection, some)
    return {
        order.number: Standing(
            open_balance=await _open_balance(connection, order),
            orders_of_the_day=sum(
                order.placed_at - DAY < moment <= order.placed_at
                for number, moment in days.get(order.customer.number, ())
                if number != order.number
            ),
            earlier_orders=before.get(order.number, 0),
        )
        for order in some
    }


async def _before(connection: AsyncConnection, some: Sequence[Order]) -> dict[str, int]:
    """How many orders of the same customer came before each of these."""
    earlier = orders.alias("earlier")
    same = (earlier.c.customer == orders.c.customer) & (earlier.c.number != orders.c.number)
    statement = (
        select(orders.c.number, func.count())
        .join(earlier, same & (earlier.c.placed_at <= orders.c.placed_at))
        .group_by(orders.c.number)
    )
    rows = await select_in(connection, statement, orders.c.number, [order.number for order in some])
    return dict(rows)


async def _days(connection: AsyncConnection, some: Sequence[Order]) -> dict[str, list[tuple[str, datetime]]]:
    """(number, moment) of what these customers ordered about then, by customer."""
    moments = [order.placed_at for order in some]
    statement = select(orders.c.customer, orders.c.number, orders.c.placed_at).where(
        orders.c.placed_at > min(moments) - DAY, orders.c.placed_at <= max(moments)
    )
    customers = sorted({order.customer.number for order in some})
    found: dict[str, list[tuple[str, datetime]]] = {}
    for customer, number, moment in await select_in(connection, statement, orders.c.customer, customers):
        found.setdefault(customer, []).append((number, moment))
    return found


async def _open_balance(connection: AsyncConnection, order: Order) -> Decimal:
    if order.customer.credit_limit is None:
        return ZERO
    mine = (orders.c.customer == order.customer.number) & (orders.c.number != order.number)
    statement = select(orders.c.number).where(mine, orders.c.stage.not_in(_DONE)).limit(MOST_OPEN)
    numbers = (await connection.execute(statement)).scalars().all()
    return sum((found.amount_due for found in await order_store.load(connection, numbers)), ZERO)
