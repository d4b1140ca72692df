"""What customers were promised, and what they got of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, case, func, or_, select, union_all

from connector.model.shipments import ZERO, ShipmentStatus
from connector.model.stage import Stage
from connector.orders.analytics.figure import ARRIVED, GONE, IMPORTED, Period, share, stream
from connector.store.engine import Connection
from connector.store.tables import order_lines, orders, shipments


async def on_time(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    order = orders.c
    promised = and_(period.orders, order.promised_on.is_not(None))
    here = (
        select(order.channel, order.promised_on, func.max(shipments.c.delivered_on).label("came"))
        .join(shipments, shipments.c.order_number == order.number)
        .where(promised, order.stage.in_(ARRIVED), shipments.c.status == ShipmentStatus.DELIVERED.value)
        .where(shipments.c.delivered_on.is_not(None))
        .group_by(order.number, order.channel, order.promised_on)
    )
    imported = select(order.channel, order.promised_on, order.shipped_on.label("came")).where(
        promised, IMPORTED, order.stage.in_(GONE), order.shipped_on.is_not(None)
    )
    every = union_all(here, imported).subquery().c
    channel = func.coalesce(every.channel, "")
    in_time = func.sum(case((every.came <= every.promised_on, 1), else_=0))
    statement = select(channel, func.count(), in_time).group_by(channel)
    rows = (await connection.execute(statement)).all()
    return sorted((name, number, share(int(good), number)) for name, number, good in rows)


async def fill_rate(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    line, order = order_lines.c, orders.c
    here = and_(order.events > 0, order.stage.not_in([Stage.PLACED.value, Stage.CANCELED.value]))
    imported = and_(IMPORTED, order.stage.in_(GONE))
    # Equal lines are counted by the database; what they come to is added up here, for SQLite knows no exact numbers.
    alike = (line.sku, line.quantity, line.canceled, line.allocated, case((IMPORTED, 1), else_=0))
    statement = (
        select(*alike, func.count())
        .join(orders, order.number == line.order_number)
        .where(period.orders, or_(here, imported))
        .group_by(*alike)
    )
    wanted: defaultdict[str, Decimal] = defaultdict(Decimal)
    there: defaultdict[str, Decimal] = defaultdict(Decimal)
    async for sku, quantity, canceled, allocated, whole, number in stream(connection, statement):
        wanted[sku] += (quantity - (ZERO if whole else canceled)) * number
        there[sku] += (quantity if whole else allocated) * number
    return [(sku, wanted[sku], there[sku], share(there[sku], wanted[sku])) for sku in sorted(wanted) if wanted[sku]]
