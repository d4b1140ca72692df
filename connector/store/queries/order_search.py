"""Finds orders: by filters of a list, by tracking key, by prefix, and those to verify next."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.holds import Hold
from connector.model.stage import Stage
from connector.store.sql import list_page_of_keys
from connector.store.tables import holds, orders


async def list_order_numbers(
    connection: AsyncConnection,
    *,
    after: str | None = None,
    limit: int,
    stage: Stage | None = None,
    hold: Hold | None = None,
    customer: str | None = None,
    channel: str | None = None,
) -> list[str]:
    """Return up to `limit` numbers of orders that follow `after` and satisfy all given filters, in byte order."""
    statement = select(orders.c.number)
    if stage is not None:
        statement = statement.where(orders.c.stage == stage.value)
    if hold is not None:
        on_hold = select(holds.c.order_number).where(holds.c.reason == hold.value)
        statement = statement.where(orders.c.number.in_(on_hold))
    if customer is not None:
        statement = statement.where(orders.c.customer == customer)
    if channel is not None:
        statement = statement.where(orders.c.channel == channel)
    return await list_page_of_keys(connection, statement, orders.c.number, after=after, limit=limit)


async def find_by_tracking_key(connection: AsyncConnection, key: str) -> str | None:
    """Return the number of the order with this tracking key."""
    number: str | None = (
        await connection.execute(select(orders.c.number).where(orders.c.tracking_key == key))
    ).scalar()
    return number


async def list_numbers_with_prefix(connection: AsyncConnection, prefix: str) -> set[str]:
    """Return the order numbers that begin with `prefix`."""
    statement = select(orders.c.number).where(orders.c.number.startswith(prefix, autoescape=True))
    return set((await connection.execute(statement)).scalars())


async def list_orders_to_verify(connection: AsyncConnection, limit: int) -> list[str]:
    """Return placed orders that are not on hold, highest priority first, then oldest first. Imported orders without a
    history are left out: only their import changes them."""
    on_hold = select(holds.c.order_number)
    statement = (
        select(orders.c.number)
        .where(orders.c.stage == Stage.PLACED.value, orders.c.events > 0, orders.c.number.not_in(on_hold))
        .order_by(orders.c.priority.desc(), orders.c.placed_at, orders.c.number)
        .limit(limit)
    )
    return list((await connection.execute(statement)).scalars())
