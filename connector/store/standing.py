"""What is known of a customer beside one order: what else was ordered, what else is owed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.order import Order
from connector.model.parcels import ZERO
from connector.model.stage import Stage
from connector.store import orders as order_store
from connector.store.tables import orders

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
    return {order.number: await _standing(connection, order) for order in some}


async def _standing(connection: AsyncConnection, order: Order) -> Standing:
    of_the_day = case((orders.c.placed_at > order.placed_at - timedelta(days=1), 1), else_=0)
    mine = orders.c.customer == order.customer.number
    other = orders.c.number != order.number
    statement = select(func.count(), func.sum(of_the_day)).where(mine, other, orders.c.placed_at <= order.placed_at)
    earlier, day = (await connection.execute(statement)).one()
    balance = ZERO
    if order.customer.credit_limit is not None:
        open_ones = select(orders.c.number).where(mine, other, orders.c.stage.not_in(_DONE)).limit(MOST_OPEN)
        numbers = (await connection.execute(open_ones)).scalars().all()
        balance = sum((found.amount_due for found in await order_store.load(connection, numbers)), ZERO)
    return Standing(open_balance=balance, orders_of_the_day=int(day or 0), earlier_orders=earlier)
