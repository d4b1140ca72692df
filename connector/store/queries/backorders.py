"""Back-orders: the products that are short, and the order lines that wait for them, most urgent first.

A line of an order that is verified, confirmed or fulfilling waits for the quantity that is neither canceled nor
allocated. Imported orders do not wait until a command handles their goods: their stock is not managed here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Numeric, Select, cast, exists, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.shipments import ZERO
from connector.model.stage import OPEN
from connector.store import stock
from connector.store.sql import list_page_of_keys
from connector.store.stock_orders import IS_ALLOCATED_STOCK
from connector.store.tables import holds, order_lines, orders
from connector.store.tables import stock as stock_table

_ALL: ColumnElement[Decimal] = literal_column("0.99999999999999", Numeric)
"""The share of a quantity that counts as all of it, on both databases. SQLite adds exact numbers as floats, so
0.1 + 0.7 is a little less than 0.8 there. Of a thousand pieces, a difference of 0.00000000001 is ignored."""

MOST_LISTED = 100
"""The maximal number of waiting lines listed for one product; all of them are counted."""

URGENCY = (
    orders.c.priority.desc(),
    orders.c.promised_on.is_(None),
    orders.c.promised_on,
    orders.c.placed_at,
    orders.c.number,
)
"""Sorts the most urgent order first, like `by_priority` of `orders.inventory.allocation`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackorderLine:
    """One order line that waits for `quantity` pieces."""

    sku: str
    number: str
    line: int
    quantity: Decimal
    priority: int
    promised_on: date | None
    placed_at: datetime
    on_hold: bool


@dataclass(kw_only=True, slots=True)
class Backorder:
    """One product that is short. `quantity` is missing for `lines` order lines, with `oldest_promise` as the earliest
    promised day; `on_hand` and `available` are sums over all warehouses; `waiting` holds the most urgent lines."""

    sku: str
    on_hand: Decimal = ZERO
    available: Decimal = ZERO
    quantity: Decimal = ZERO
    lines: int = 0
    oldest_promise: date | None = None
    waiting: list[BackorderLine] = field(default_factory=list)

    def add(self, item: BackorderLine) -> None:
        self.quantity += item.quantity
        self.lines += 1
        promises = [day for day in (self.oldest_promise, item.promised_on) if day]
        self.oldest_promise = min(promises, default=None)
        if len(self.waiting) < MOST_LISTED:
            self.waiting.append(item)


def waits_for_stock() -> ColumnElement[bool]:
    """The condition that a line, joined with its order, waits for stock."""
    line = order_lines.c
    open_ones = orders.c.stage.in_([stage.value for stage in OPEN]) & (orders.c.events > 0) & IS_ALLOCATED_STOCK
    return open_ones & (_number(line.allocated) + _number(line.canceled) < _number(line.quantity) * _ALL)


def _in_stock() -> Select[tuple[str]]:
    """Select the products of which something is available in any warehouse."""
    level = stock_table.c
    return select(level.sku).where(_number(level.reserved) < _number(level.on_hand))


async def list_short_skus(
    connection: AsyncConnection, *, after: str | None, limit: int, only: Sequence[str] = ()
) -> list[str]:
    """Return up to `limit` SKUs of products that are short and follow `after`, sorted; if `only` is given, only of
    these."""
    statement = select(order_lines.c.sku).distinct().join(orders).where(waits_for_stock())
    if only:
        statement = statement.where(order_lines.c.sku.in_(only))
    return await list_page_of_keys(connection, statement, order_lines.c.sku, after=after, limit=limit)


async def list_orders_waiting_for_stock(
    connection: AsyncConnection, skus: Sequence[str] | None = None, limit: int = 500
) -> list[str]:
    """Return the orders that wait for one of `skus` and are not on hold, most urgent first.

    Without `skus`, only orders that wait for a product in stock are returned, so that orders which cannot be served do
    not use up the limit.
    """
    line = order_lines.c
    waits = exists().where(line.order_number == orders.c.number, waits_for_stock())
    waits = waits.where(line.sku.in_(_in_stock() if skus is None else skus))
    on_hold = exists().where(holds.c.order_number == orders.c.number)
    stages = [stage.value for stage in OPEN]
    statement = (
        select(orders.c.number).where(orders.c.stage.in_(stages), waits, ~on_hold).order_by(*URGENCY).limit(limit)
    )
    return list((await connection.execute(statement)).scalars())


async def stream_backorder_lines(
    connection: AsyncConnection, only: Sequence[str] | None = None
) -> AsyncGenerator[BackorderLine, None]:
    """Stream the waiting lines by product and urgency; if `only` is given, only of these products."""
    line, order = order_lines.c, orders.c
    on_hold = exists().where(holds.c.order_number == order.number)
    statement = (
        select(line.sku, line.order_number, line.number, line.quantity, line.canceled, line.allocated)
        .add_columns(order.priority, order.promised_on, order.placed_at, on_hold.label("on_hold"))
        .join(orders)
        .where(waits_for_stock())
        .order_by(line.sku, *URGENCY, line.number)
    )
    if only is not None:
        statement = statement.where(line.sku.in_(only))
    async with connection.stream(statement) as rows:
        async for row in rows:
            yield BackorderLine(
                sku=row.sku,
                number=row.order_number,
                line=row.number,
                quantity=row.quantity - row.canceled - row.allocated,
                priority=row.priority,
                promised_on=row.promised_on,
                placed_at=row.placed_at,
                on_hold=bool(row.on_hold),
            )


async def load_backorders(connection: AsyncConnection, only: Sequence[str]) -> list[Backorder]:
    """Return the back-orders of these products, in the same sequence; products that are not short are left out."""
    backorders: dict[str, Backorder] = {}
    async for item in stream_backorder_lines(connection, only):
        backorders.setdefault(item.sku, Backorder(sku=item.sku)).add(item)
    for (sku, _), level in (await stock.levels(connection, backorders)).items():
        backorders[sku].on_hand += level.on_hand
        backorders[sku].available += level.available
    return [backorders[sku] for sku in only if sku in backorders]


def _number(column: ColumnElement[Decimal]) -> ColumnElement[Decimal]:
    # SQLite keeps exact numbers as text, which would compare as text.
    return cast(column, Numeric)
