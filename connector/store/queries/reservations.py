"""Queries for reservations: those of one product in one warehouse, and the orders to pick."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Numeric, cast, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.stage import Stage
from connector.model.stock import Reservation, StockKey
from connector.store.queries.backorders import URGENCY
from connector.store.tables import holds, order_lines, orders, reservations

_ON_HOLD = exists().where(holds.c.order_number == orders.c.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class LineReservation(Reservation):
    """A reservation with its order and line."""

    order_number: str
    line: int


async def list_reservations(connection: AsyncConnection, place: StockKey) -> list[LineReservation]:
    """Return the reservations of one product in one warehouse."""
    sku, warehouse = place
    held, line = reservations.c, order_lines.c
    statement = (
        select(held.order_number, held.line, held.quantity, held.picked)
        .join(order_lines, (line.order_number == held.order_number) & (line.number == held.line))
        .where(line.sku == sku, held.warehouse == warehouse)
    )
    return [LineReservation(**row._mapping) for row in await connection.execute(statement)]


async def list_orders_to_pick(connection: AsyncConnection, warehouse: str | None, limit: int) -> list[str]:
    """Return the orders with reserved goods that are not picked, in `warehouse` or in any, and that are not on hold;
    most urgent first."""
    held = reservations.c
    # SQLite keeps exact numbers as text, which would compare as text.
    unpicked = exists().where(
        held.order_number == orders.c.number, cast(held.picked, Numeric) < cast(held.quantity, Numeric)
    )
    if warehouse is not None:
        unpicked = unpicked.where(held.warehouse == warehouse)
    statement = (
        select(orders.c.number)
        .where(orders.c.stage.in_([Stage.CONFIRMED.value, Stage.FULFILLING.value]), unpicked)
        .where(~_ON_HOLD)
        .order_by(*URGENCY)
        .limit(limit)
    )
    return list((await connection.execute(statement)).scalars())


async def list_orders_to_ship(connection: AsyncConnection, limit: int) -> list[str]:
    """Return the orders with goods that are picked and have not left, and that are not on hold; most urgent first."""
    line = order_lines.c
    waits = exists().where(
        line.order_number == orders.c.number, cast(line.shipped, Numeric) < cast(line.picked, Numeric)
    )
    statement = (
        select(orders.c.number)
        .where(orders.c.stage == Stage.FULFILLING.value, waits)
        .where(~_ON_HOLD)
        .order_by(*URGENCY)
        .limit(limit)
    )
    return list((await connection.execute(statement)).scalars())
