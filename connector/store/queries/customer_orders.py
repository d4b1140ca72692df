"""How many orders a customer has."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.tables import orders


async def count_orders(connection: AsyncConnection, customer: str) -> int:
    """Return the number of orders of the customer; 0 for an unknown one."""
    statement = select(func.count()).select_from(orders).where(orders.c.customer == customer)
    return (await connection.execute(statement)).scalar_one()
