"""The queries of analytics, over the orders placed in a period.

Counts are made by the database. Exact sums are not, because SQLite adds exact numbers as floats; for those the rows are
streamed, so they are never all in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import orjson
from sqlalchemy import (
    ColumnElement,
    Numeric,
    Select,
    and_,
    case,
    cast,
    distinct,
    exists,
    func,
    not_,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.actions import EventKind
from connector.model.period import Period
from connector.model.shipments import ReturnStatus, ShipmentStatus
from connector.model.stage import Stage
from connector.store.tables import holds, order_events, order_lines, orders, returns, shipments

T = TypeVar("T")

_GONE = (Stage.SHIPPED.value, Stage.DELIVERED.value, Stage.COMPLETED.value)
_ARRIVED = (Stage.DELIVERED.value, Stage.COMPLETED.value)
_IMPORTED = orders.c.events == 0
"""Imported orders without a history: their state is not stored, it follows from the stage (`model.imported_state`)."""
_PART = 2000


class StageCount(NamedTuple):
    """The number of orders in one stage; `late` counts those past their promised day and not delivered."""

    stage: Stage
    orders: int
    oldest: datetime
    on_hold: int
    late: int


async def count_stages(connection: AsyncConnection, period: Period) -> list[StageCount]:
    """Count the orders by stage; stages without orders are left out."""
    on_hold = exists().where(holds.c.order_number == orders.c.number)
    under_way = orders.c.stage.not_in([*_ARRIVED, Stage.CANCELED.value])
    # An imported order is never reported as delivered, so once it has shipped it does not count as late.
    can_be_late = not_(and_(_IMPORTED, orders.c.stage == Stage.SHIPPED.value))
    late = and_(under_way, can_be_late, orders.c.promised_on < period.now.date())
    statement = (
        select(orders.c.stage, func.count(), func.min(orders.c.placed_at))
        .add_columns(*(func.sum(case((what, 1), else_=0)) for what in (on_hold, late)))
        .where(_placed_in(period))
        .group_by(orders.c.stage)
    )
    return [
        StageCount(Stage(stage), number, oldest, int(held), int(overdue))
        for stage, number, oldest, held, overdue in await connection.execute(statement)
    ]


class StageChange(NamedTuple):
    """An event that changed the stage of an order; `stage_before` is None for the first event."""

    order_number: str
    at: datetime
    stage_before: str | None


def stream_stage_changes(connection: AsyncConnection, period: Period) -> AsyncIterator[StageChange]:
    """Stream the stage changes, by order and oldest first."""
    event = order_events.c
    statement = (
        select(event.order_number, event.at, event.stage_before)
        .join(orders, orders.c.number == event.order_number)
        .where(_placed_in(period), or_(event.stage_before.is_(None), event.stage_before != event.stage_after))
        .order_by(event.order_number, event.sequence)
    )
    return _stream(connection, statement, StageChange)


class Arrival(NamedTuple):
    """When an order was placed, and the day on which all of it had shipped or was delivered."""

    channel: str | None
    placed_at: datetime
    on: date


def stream_shipped_orders(connection: AsyncConnection, period: Period) -> AsyncIterator[Arrival]:
    """Stream the orders that have shipped completely."""
    order = orders.c
    statement = select(order.channel, order.placed_at, order.shipped_on).where(
        _placed_in(period), order.stage.in_(_GONE), order.shipped_on.is_not(None)
    )
    return _stream(connection, statement, Arrival)


def stream_delivered_orders(connection: AsyncConnection, period: Period) -> AsyncIterator[Arrival]:
    """Stream the orders that were delivered completely, with the day of the last delivery."""
    order = orders.c
    last = func.max(shipments.c.delivered_on)
    statement = (
        select(order.channel, order.placed_at, last)
        .join(shipments, shipments.c.order_number == order.number)
        .where(_placed_in(period), order.stage.in_(_ARRIVED), shipments.c.status == ShipmentStatus.DELIVERED.value)
        .group_by(order.number, order.channel, order.placed_at)
        .having(last.is_not(None))
    )
    return _stream(connection, statement, Arrival)


class HoldEvent(NamedTuple):
    """A hold that was placed or released; `reason` is the value of a `Hold`."""

    order_number: str
    at: datetime
    placed: bool
    reason: str


def stream_hold_events(connection: AsyncConnection, period: Period) -> AsyncIterator[HoldEvent]:
    """Stream the hold events, by order and oldest first."""
    row = order_events.c
    statement = (
        select(row.order_number, row.at, row.event, row.detail)
        .join(orders, orders.c.number == row.order_number)
        .where(_placed_in(period), row.event.in_([EventKind.HELD.value, EventKind.RELEASED.value]))
        .order_by(row.order_number, row.sequence)
    )

    def build(number: str, at: datetime, kind: str, detail: str) -> HoldEvent:
        return HoldEvent(number, at, kind == EventKind.HELD.value, orjson.loads(detail)["hold"])

    return _stream(connection, statement, build)


class PromiseCount(NamedTuple):
    """The delivered orders of one channel that had a promised day; `in_time` counts those delivered by that day. The
    channel is empty for orders without one."""

    channel: str
    orders: int
    in_time: int


async def count_kept_promises(connection: AsyncConnection, period: Period) -> list[PromiseCount]:
    """Count kept promises by channel. For an imported order the day of shipment counts as its delivery."""
    order = orders.c
    promised = and_(_placed_in(period), order.promised_on.is_not(None))
    here = (
        select(order.channel, order.promised_on, func.max(shipments.c.delivered_on).label("came"))
        .join(shipments, shipments.c.order_number == order.number)
        .where(promised, order.stage.in_(_ARRIVED), shipments.c.status == ShipmentStatus.DELIVERED.value)
        .where(shipments.c.delivered_on.is_not(None))
        .group_by(order.number, order.channel, order.promised_on)
    )
    imported = select(order.channel, order.promised_on, order.shipped_on.label("came")).where(
        promised, _IMPORTED, order.stage.in_(_GONE), order.shipped_on.is_not(None)
    )
    arrivals = union_all(here, imported).subquery().c
    channel = func.coalesce(arrivals.channel, "")
    in_time = func.sum(case((arrivals.came <= arrivals.promised_on, 1), else_=0))
    statement = select(channel, func.count(), in_time).group_by(channel)
    return [PromiseCount(name, number, int(good)) for name, number, good in await connection.execute(statement)]


class LineGroup(NamedTuple):
    """A number (`lines`) of order lines that are equal in all other columns."""

    sku: str
    quantity: Decimal
    canceled: Decimal
    allocated: Decimal
    imported: bool
    lines: int


def stream_line_groups(connection: AsyncConnection, period: Period) -> AsyncIterator[LineGroup]:
    """Stream the lines that were allocated stock or should have been: lines of orders past verification, and of
    imported orders that have shipped. Equal lines are counted, because SQLite cannot add quantities exactly."""
    line, order = order_lines.c, orders.c
    here = and_(order.events > 0, order.stage.not_in([Stage.PLACED.value, Stage.CANCELED.value]))
    imported = and_(_IMPORTED, order.stage.in_(_GONE))
    alike = (line.sku, line.quantity, line.canceled, line.allocated, case((_IMPORTED, 1), else_=0))
    statement = (
        select(*alike, func.count())
        .join(orders, order.number == line.order_number)
        .where(_placed_in(period), or_(here, imported))
        .group_by(*alike)
    )
    return _stream(connection, statement, LineGroup)


class ChannelCount(NamedTuple):
    """The number of orders of one channel in one currency."""

    channel: str | None
    currency: str
    orders: int


async def count_orders_by_channel(connection: AsyncConnection, period: Period) -> list[ChannelCount]:
    """Count all orders of the period, by channel and currency."""
    order = orders.c
    statement = (
        select(order.channel, order.currency, func.count())
        .where(_placed_in(period))
        .group_by(order.channel, order.currency)
    )
    return [ChannelCount(*row) for row in await connection.execute(statement)]


class OrderPayments(NamedTuple):
    """The captured and refunded amounts of one order."""

    channel: str | None
    currency: str
    captured: Decimal
    refunded: Decimal


def stream_payments(connection: AsyncConnection, period: Period) -> AsyncIterator[OrderPayments]:
    """Stream the payments of every order that has a history."""
    order = orders.c
    statement = select(order.channel, order.currency, order.captured, order.refunded).where(
        _placed_in(period), order.events > 0
    )
    return _stream(connection, statement, OrderPayments)


class ImportedLine(NamedTuple):
    """A line of an imported order, with fields of the order; the last three are None for an order without lines."""

    order_number: str
    channel: str | None
    currency: str
    freight: Decimal | None
    tax_rate: Decimal | None
    quantity: Decimal | None
    unit_price: Decimal | None
    discount: Decimal | None


def stream_imported_lines(connection: AsyncConnection, period: Period) -> AsyncIterator[ImportedLine]:
    """Stream the lines of imported orders that have shipped, by order."""
    order, line = orders.c, order_lines.c
    statement = (
        select(order.number, order.channel, order.currency, order.freight, order.tax_rate)
        .add_columns(line.quantity, line.unit_price, line.discount)
        .outerjoin(order_lines, line.order_number == order.number)
        .where(_placed_in(period), _IMPORTED, order.stage.in_(_GONE))
        .order_by(order.number)
    )
    return _stream(connection, statement, ImportedLine)


class ReasonCount(NamedTuple):
    """The number of orders with a return for one reason."""

    reason: str
    orders: int


async def count_returned_orders(connection: AsyncConnection, period: Period) -> tuple[int, list[ReasonCount]]:
    """Return the number of orders of which something was delivered, and how many of them have a return, by reason."""
    line = order_lines.c
    # SQLite keeps exact numbers as text, which would compare as text.
    some = exists().where(line.order_number == orders.c.number, cast(line.delivered, Numeric) > 0)
    sold = and_(_placed_in(period), or_(and_(_IMPORTED, orders.c.stage.in_(_ARRIVED)), some))
    delivered = (await connection.execute(select(func.count()).select_from(orders).where(sold))).scalar_one()
    statement = (
        select(returns.c.reason, func.count(distinct(returns.c.order_number)))
        .join(orders, orders.c.number == returns.c.order_number)
        .where(sold, returns.c.status != ReturnStatus.REJECTED.value)
        .group_by(returns.c.reason)
    )
    return delivered, [ReasonCount(*row) for row in await connection.execute(statement)]


class ReturnedLine(NamedTuple):
    """A line of an order with a return; `requested` and `received` are None if the line is not part of the return."""

    reason: str
    currency: str
    order_number: str
    closed: bool
    requested: Decimal | None
    received: Decimal | None
    unit_price: Decimal | None
    discount: Decimal


def stream_returned_lines(connection: AsyncConnection, period: Period) -> AsyncIterator[ReturnedLine]:
    """Stream every line of every order with a return that was not rejected, once for each return, by order and
    return."""
    line = order_lines.c
    statement = (
        select(returns.c.reason, orders.c.currency, returns.c.order_number, returns.c.lines, returns.c.status)
        .add_columns(line.number, line.unit_price, line.discount)
        .join(orders, orders.c.number == returns.c.order_number)
        .join(order_lines, line.order_number == returns.c.order_number)
        .where(_placed_in(period), returns.c.status != ReturnStatus.REJECTED.value)
        .order_by(returns.c.order_number, returns.c.number)
    )

    def build(
        reason: str,
        currency: str,
        order: str,
        lines: str,
        status: str,
        number: int,
        price: Decimal | None,
        discount: Decimal,
    ) -> ReturnedLine:
        back = orjson.loads(lines).get(str(number))
        requested = None if back is None else Decimal(back["requested"])
        received = None if back is None else Decimal(back["received"])
        closed = status == ReturnStatus.CLOSED.value
        return ReturnedLine(reason, currency, order, closed, requested, received, price, discount)

    return _stream(connection, statement, build)


def _placed_in(period: Period) -> ColumnElement[bool]:
    return (orders.c.placed_at >= period.since) & (orders.c.placed_at < period.until)


async def _stream(connection: AsyncConnection, statement: Select[Any], make: Callable[..., T]) -> AsyncIterator[T]:
    """Stream the rows of `statement` one by one; they are never all in memory."""
    async with connection.stream(statement) as rows:
        async for part in rows.partitions(_PART):
            for row in part:
                yield make(*row)
