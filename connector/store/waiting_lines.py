"""Keeps which order lines wait for stock, so that nobody has to read all open orders to know.

A line of an order that is verified, confirmed or fulfilling waits for the quantity that is neither canceled nor
allocated. Imported orders do not wait until a command handles their goods: their stock is not managed here. Whatever
writes orders calls `refresh` for those of which that may have changed, in its own transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Numeric, Select, bindparam, cast, delete, insert, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.order_state import OrderState
from connector.model.stage import OPEN
from connector.store.backorder_tables import waiting_lines
from connector.store.sql import Row, chunks, select_in
from connector.store.stock_orders import IS_ALLOCATED_STOCK
from connector.store.tables import order_lines, orders
from connector.store.unit_of_work import UnitOfWork

NO_PROMISE = date(9999, 12, 31)
"""Stands for the day of a line of which nothing is promised: it comes last."""
_ALL: ColumnElement[Decimal] = literal_column("0.99999999999999", Numeric)
"""The share of a quantity that counts as all of it, on both databases. SQLite adds exact numbers as floats, so
0.1 + 0.7 is a little less than 0.8 there. Of a thousand pieces, a difference of 0.00000000001 is ignored."""


_INSERT = insert(waiting_lines)
_DELETE = delete(waiting_lines).where(waiting_lines.c.order_number.in_(bindparam("the_numbers", expanding=True)))


async def refresh(uow: UnitOfWork, numbers: Iterable[str]) -> None:
    """Store anew which lines of these orders wait."""
    for chunk in chunks(sorted(set(numbers))):
        await uow.connection.execute(_DELETE, {"the_numbers": chunk})
        if rows := await _find(uow.connection, chunk):
            await uow.connection.execute(_INSERT, rows)


async def list_wrong(connection: AsyncConnection, numbers: Sequence[str]) -> list[str]:
    """Return those of these orders of which other lines are stored than wait."""
    stored = await select_in(connection, select(waiting_lines), waiting_lines.c.order_number, numbers)
    by_order: dict[str, list[Row]] = {}
    found: dict[str, list[Row]] = {}
    for row in stored:
        by_order.setdefault(row.order_number, []).append(dict(row._mapping))
    for chunk in chunks(numbers):
        for values in await _find(connection, chunk):
            found.setdefault(values["order_number"], []).append(values)
    return [number for number in numbers if _sorted(by_order.get(number)) != _sorted(found.get(number))]


def _sorted(rows: list[Row] | None) -> list[Row]:
    return sorted(rows or [], key=lambda row: int(row["line"]))


async def _find(connection: AsyncConnection, numbers: Sequence[str]) -> list[Row]:
    return [
        {
            "order_number": row.order_number,
            "line": row.number,
            "sku": row.sku,
            "quantity": row.quantity - row.canceled - row.allocated,
            "rank": -row.priority,
            "promised_by": row.promised_on or NO_PROMISE,
            "placed_at": row.placed_at,
        }
        for row in await connection.execute(_waiting(), {"the_numbers": numbers})
    ]


@cache
def _waiting() -> Select[Any]:
    line, order = order_lines.c, orders.c
    columns = (line.quantity, line.canceled, line.allocated, line.order_number, line.number, line.sku)
    found = select(*columns, order.priority, order.promised_on, order.placed_at).join(orders).where(_waits())
    return found.where(order.number.in_(bindparam("the_numbers", expanding=True)))


def has_changed(before: OrderState, after: OrderState) -> bool:
    """Whether what waits of an order whose stock is managed here, or how urgent that is, differs between two states."""
    open_after = _open_quantities(after)
    return _open_quantities(before) != open_after or (bool(open_after) and before.header != after.header)


def _open_quantities(state: OrderState) -> dict[int, Decimal]:
    if state.stage not in OPEN:
        return {}
    quantities = {number: line.wanted - line.allocated for number, line in state.lines.items()}
    return {number: quantity for number, quantity in quantities.items() if quantity > 0}


def _waits() -> ColumnElement[bool]:
    """The condition that a line, joined with its order, waits for stock."""
    line = order_lines.c
    open_ones = orders.c.stage.in_([stage.value for stage in OPEN]) & (orders.c.events > 0) & IS_ALLOCATED_STOCK
    return open_ones & (_number(line.allocated) + _number(line.canceled) < _number(line.quantity) * _ALL)


def _number(column: ColumnElement[Decimal]) -> ColumnElement[Decimal]:
    # SQLite keeps exact numbers as text, which would compare as text.
    return cast(column, Numeric)
