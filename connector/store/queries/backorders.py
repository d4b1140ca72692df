"""Back-orders: what is wanted of a product and not there, and who waits for it, the most urgent first.

A line of an order that is verified, confirmed or fulfilling waits for what is neither canceled nor allocated. Imported
orders that nobody has acted on wait for nothing here: their stock is somebody else's.
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
from connector.store.tables import holds, order_lines, orders
from connector.store.tables import stock as stock_table

_ALL: ColumnElement[Decimal] = literal_column("0.99999999999999", Numeric)
"""SQLite adds exact numbers as floats: it finds 0.1 and 0.7 to be a little less than 0.8. So much of a quantity is all
of it, on both databases: of a thousand pieces, all but 0.00000000001."""

MOST_LISTED = 100
"""Waiting lines of one product that are listed; all are counted."""

URGENCY = (
    orders.c.priority.desc(),
    orders.c.promised_on.is_(None),
    orders.c.promised_on,
    orders.c.placed_at,
    orders.c.number,
)
"""The most urgent order first, as `by_priority` of `orders.inventory.allocation` has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackorderLine:
    """One line that waits for `quantity` more."""

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
    """One product: how much of it is short, for how many lines, promised for which day at the earliest; what is on hand
    and free in all warehouses together; the most urgent of those that wait."""

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


def _waits_for_stock() -> ColumnElement[bool]:
    """Whether a line, joined with its order, waits for stock."""
    line = order_lines.c
    open_ones = orders.c.stage.in_([stage.value for stage in OPEN]) & (orders.c.events > 0)
    return open_ones & (_number(line.allocated) + _number(line.canceled) < _number(line.quantity) * _ALL)


def _in_stock() -> Select[tuple[str]]:
    """The products of which something is available somewhere."""
    level = stock_table.c
    return select(level.sku).where(_number(level.reserved) < _number(level.on_hand))


async def list_short_skus(
    connection: AsyncConnection, *, after: str | None, limit: int, only: Sequence[str] = ()
) -> list[str]:
    """Up to `limit` products that are short, behind `after`, by SKU; of `only` these, if any are named."""
    statement = select(order_lines.c.sku).distinct().join(orders).where(_waits_for_stock())
    if only:
        statement = statement.where(order_lines.c.sku.in_(only))
    return await list_page_of_keys(connection, statement, order_lines.c.sku, after=after, limit=limit)


async def list_orders_waiting_for_stock(
    connection: AsyncConnection, skus: Sequence[str] | None = None, limit: int = 500
) -> list[str]:
    """Orders that wait for stock and are not on hold, the most urgent first: for these products, of which something is
    about to come; without `skus` those that can be served now, so that one that waits for what is out holds up none."""
    line = order_lines.c
    waits = exists().where(line.order_number == orders.c.number, _waits_for_stock())
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
    """Every line that waits, by product and urgency; `only` of these products."""
    line, order = order_lines.c, orders.c
    on_hold = exists().where(holds.c.order_number == order.number)
    statement = (
        select(line.sku, line.order_number, line.number, line.quantity, line.canceled, line.allocated)
        .add_columns(order.priority, order.promised_on, order.placed_at, on_hold.label("on_hold"))
        .join(orders)
        .where(_waits_for_stock())
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
    """These products, in this order, as far as they are short."""
    found: dict[str, Backorder] = {}
    async for item in stream_backorder_lines(connection, only):
        found.setdefault(item.sku, Backorder(sku=item.sku)).add(item)
    for (sku, _), level in (await stock.levels(connection, found)).items():
        found[sku].on_hand += level.on_hand
        found[sku].available += level.available
    return [found[sku] for sku in only if sku in found]


def _number(column: ColumnElement[Decimal]) -> ColumnElement[Decimal]:
    # SQLite keeps exact numbers as text, which would compare as text.
    return cast(column, Numeric)
