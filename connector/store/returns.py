"""Loads returns by their keys (`10248-RMA1`), with their orders. `store.shipments` writes them with their order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.order_return import OrderReturn, build_order_return, return_key, split_key
from connector.model.shipments import OPEN_RETURNS, ReturnStatus
from connector.store import orders as order_store
from connector.store.sql import count_rows
from connector.store.tables import returns


async def load(connection: AsyncConnection, keys: Sequence[str]) -> list[OrderReturn]:
    """Return the returns in the sequence of `keys`, without unknown ones."""
    parts_of_key = {key: split_key(key) for key in keys}
    numbers = list(dict.fromkeys(order for order, _ in parts_of_key.values() if order))
    orders = {order.number: order for order in await order_store.load(connection, numbers)}
    return [
        build_order_return(orders[number], orders[number].state.returns[index])
        for number, index in parts_of_key.values()
        if number in orders and index in orders[number].state.returns
    ]


async def keys(connection: AsyncConnection) -> AsyncIterator[str]:
    """Iterate over the keys of all returns, by order and number."""
    statement = select(returns.c.order_number, returns.c.number).order_by(returns.c.order_number, returns.c.number)
    for row in (await connection.execute(statement)).all():
        yield return_key(row.order_number, row.number)


async def list_open(
    connection: AsyncConnection, *, status: ReturnStatus | None = None, after: tuple[str, int] | None, limit: int
) -> list[str]:
    """Return the keys of returns that are not closed and not rejected, by order and number, behind `after`."""
    row = returns.c
    among = OPEN_RETURNS if status is None else (status,)
    statement = select(row.order_number, row.number).where(row.status.in_([item.value for item in among]))
    if after is not None:
        order, number = after
        statement = statement.where(or_(row.order_number > order, and_(row.order_number == order, row.number > number)))
    statement = statement.order_by(row.order_number, row.number).limit(limit)
    return [return_key(order, number) for order, number in await connection.execute(statement)]


async def count_open(connection: AsyncConnection) -> dict[ReturnStatus, int]:
    """Return how many returns have each status that is not the last one."""
    statement = select(returns.c.status, func.count()).group_by(returns.c.status)
    counts: dict[str, int] = {row[0]: row[1] for row in await connection.execute(statement)}
    return {status: counts[status] for status in OPEN_RETURNS if status in counts}


async def count(connection: AsyncConnection) -> int:
    return await count_rows(connection, returns)
