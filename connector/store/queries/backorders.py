"""Back-orders: the products that orders wait for, and the lines that wait, most urgent first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Integer, Numeric, Select, bindparam, cast, exists, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.shipments import ZERO
from connector.store import stock
from connector.store.backorder_tables import waiting_lines
from connector.store.sql import list_page_of_keys, select_in
from connector.store.tables import holds, orders
from connector.store.tables import stock as stock_table
from connector.store.waiting_lines import NO_PROMISE

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

_WAITING = waiting_lines.c
_PLACE = (_WAITING.rank, _WAITING.promised_by, _WAITING.placed_at, _WAITING.order_number, _WAITING.line)
"""As the index of waiting lines is sorted within a product: like URGENCY."""


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

    @property
    def place(self) -> WaitingPlace:
        return (-self.priority, self.promised_on or NO_PROMISE, self.placed_at, self.number, self.line)


WaitingPlace = tuple[int, date, datetime, str, int]
"""A place among the waiting lines of a product, which are sorted by urgency: the line behind which a page begins."""


@dataclass(kw_only=True, slots=True)
class Backorder:
    """One product that orders wait for. `quantity` is not allocated yet, for `lines` order lines, with `oldest_promise`
    as the earliest promised day; `on_hand` and `available` are sums over all warehouses; `waiting`: the most urgent
    lines."""

    sku: str
    on_hand: Decimal = ZERO
    available: Decimal = ZERO
    quantity: Decimal = ZERO
    lines: int = 0
    oldest_promise: date | None = None
    waiting: list[BackorderLine] = field(default_factory=list)

    @property
    def to_allocate(self) -> Decimal:
        """What is there for those that wait, and only has to be allocated."""
        return min(self.available, self.quantity)

    @property
    def short(self) -> Decimal:
        """What no stock covers."""
        return self.quantity - self.to_allocate


def _in_stock() -> Select[tuple[str]]:
    """Select the products of which something is available in any warehouse."""
    level = stock_table.c
    return select(level.sku).where(_number(level.reserved) < _number(level.on_hand))


async def list_short_skus(
    connection: AsyncConnection, *, after: str | None, limit: int, only: Sequence[str] = ()
) -> list[str]:
    """Return up to `limit` SKUs of products that orders wait for and that follow `after`, sorted; if `only` is given,
    only of these."""
    statement = select(_WAITING.sku).group_by(_WAITING.sku)
    if only:
        statement = statement.where(_WAITING.sku.in_(only))
    return await list_page_of_keys(connection, statement, _WAITING.sku, after=after, limit=limit)


async def list_orders_waiting_for_stock(
    connection: AsyncConnection, skus: Sequence[str] | None = None, limit: int = 500
) -> list[str]:
    """Return the orders that wait for one of `skus` and are not on hold, most urgent first.

    Without `skus`, only orders that wait for a product in stock are returned, so that orders which cannot be served do
    not use up the limit.
    """
    on_hold = exists().where(holds.c.order_number == _WAITING.order_number)
    urgency = (_WAITING.rank, _WAITING.promised_by, _WAITING.placed_at, _WAITING.order_number)
    wanted = _WAITING.sku.in_(_in_stock() if skus is None else skus)
    statement = select(*urgency).where(wanted, ~on_hold).group_by(*urgency).order_by(*urgency).limit(limit)
    return [row.order_number for row in await connection.execute(statement)]


_IS_ON_HOLD = exists().where(holds.c.order_number == _WAITING.order_number)
_LINES = select(waiting_lines, _IS_ON_HOLD.label("on_hold"))
_LINES_OF_SKU = (
    _LINES.where(_WAITING.sku == bindparam("the_sku")).order_by(*_PLACE).limit(bindparam("the_limit", type_=Integer))
)
_ALL_LINES = _LINES.order_by(_WAITING.sku, *_PLACE)
_LINES_OF_SKUS = _ALL_LINES.where(_WAITING.sku.in_(bindparam("the_skus", expanding=True)))


async def list_waiting_lines(
    connection: AsyncConnection, sku: str, *, after: WaitingPlace | None = None, limit: int
) -> list[BackorderLine]:
    """Return up to `limit` lines that wait for the product behind `after`, most urgent first."""
    statement = _LINES_OF_SKU
    if after is not None:
        place = (literal(value, column.type) for value, column in zip(after, _PLACE, strict=True))
        statement = statement.where(tuple_(*_PLACE) > tuple_(*place))
    rows = await connection.execute(statement, {"the_sku": sku, "the_limit": limit})
    return [_build_line(row) for row in rows]


async def stream_backorder_lines(
    connection: AsyncConnection, only: Sequence[str] | None = None
) -> AsyncGenerator[BackorderLine, None]:
    """Stream the waiting lines by product and urgency; if `only` is given, only of these products."""
    statement = _ALL_LINES if only is None else _LINES_OF_SKUS
    async with connection.stream(statement, {"the_skus": only}) as rows:
        async for row in rows:
            yield _build_line(row)


async def load_backorders(
    connection: AsyncConnection, only: Sequence[str], *, listed: int = MOST_LISTED
) -> list[Backorder]:
    """Return the back-orders of these products, in the same sequence, each with up to `listed` lines; products that no
    order waits for are left out."""
    quantity = func.sum(_number(_WAITING.quantity))
    totals = select(_WAITING.sku, quantity, func.count(), func.min(_WAITING.promised_by)).group_by(_WAITING.sku)
    found: dict[str, Backorder] = {}
    for sku, total, count, promised in await select_in(connection, totals, _WAITING.sku, only):
        promise = None if promised == NO_PROMISE else promised
        exact = round(total, 6) if connection.dialect.name == "sqlite" else total  # which adds exact numbers as floats
        found[sku] = Backorder(sku=sku, quantity=exact, lines=count, oldest_promise=promise)
    for (sku, _), level in (await stock.levels(connection, found)).items():
        found[sku].on_hand += level.on_hand
        found[sku].available += level.available
    for sku, item in found.items():
        item.waiting = await list_waiting_lines(connection, sku, limit=listed) if listed else []
        if item.lines == len(item.waiting):
            item.quantity = sum((line.quantity for line in item.waiting), ZERO)
    return [found[sku] for sku in only if sku in found]


def _build_line(row: Any) -> BackorderLine:
    return BackorderLine(
        sku=row.sku,
        number=row.order_number,
        line=row.line,
        quantity=row.quantity,
        priority=-row.rank,
        promised_on=None if row.promised_by == NO_PROMISE else row.promised_by,
        placed_at=row.placed_at,
        on_hold=bool(row.on_hold),
    )


def _number(column: ColumnElement[Decimal]) -> ColumnElement[Decimal]:
    # SQLite keeps exact numbers as text, which would compare as text.
    return cast(column, Numeric)
