"""How orders flow: where they are, how long they stay there, what holds them up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import and_, case, exists, func, not_, or_, select

from connector.model.events import Action
from connector.model.shipments import ShipmentStatus
from connector.model.stage import Stage
from connector.orders.analytics.figure import ARRIVED, GONE, HOUR, IMPORTED, Period, Times, stream
from connector.store.engine import Connection
from connector.store.tables import holds as holds_table
from connector.store.tables import order_events, orders, shipments

DAY = timedelta(days=1)


async def stages(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    on_hold = exists().where(holds_table.c.order_number == orders.c.number)
    under_way = orders.c.stage.not_in([*ARRIVED, Stage.CANCELED.value])
    # Of an imported order nobody says whether it arrived; once shipped, it is not missed.
    known = not_(and_(IMPORTED, orders.c.stage == Stage.SHIPPED.value))
    late = and_(under_way, known, orders.c.promised_on < period.now.date())
    statement = (
        select(orders.c.stage, func.count(), func.min(orders.c.placed_at))
        .add_columns(*(func.sum(case((what, 1), else_=0)) for what in (on_hold, late)))
        .where(period.orders)
        .group_by(orders.c.stage)
    )
    found = {row[0]: tuple(row[1:]) for row in await connection.execute(statement)}
    return [
        (stage.value, int(held), int(overdue), (period.now - oldest).days, number)
        for stage in Stage
        if stage.value in found
        for number, oldest, held, overdue in [found[stage.value]]
    ]


async def dwell(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    event = order_events.c
    statement = (
        select(event.order_number, event.at, event.stage_before)
        .join(orders, orders.c.number == event.order_number)
        .where(period.orders, or_(event.stage_before.is_(None), event.stage_before != event.stage_after))
        .order_by(event.order_number, event.sequence)
    )
    spent: defaultdict[str, Times] = defaultdict(Times)
    last: tuple[str, datetime] | None = None
    async for number, at, before in stream(connection, statement):
        if before is not None and last is not None and last[0] == number:
            spent[before].add(at - last[1])
        last = (number, at)
    return [
        (stage.value, spent[stage.value].count, spent[stage.value].average(HOUR))
        for stage in Stage
        if stage.value in spent
    ]


async def lead_time(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    order = orders.c
    shipped = select(order.channel, order.placed_at, order.shipped_on.label("came")).where(
        period.orders, order.stage.in_(GONE), order.shipped_on.is_not(None)
    )
    last = func.max(shipments.c.delivered_on)
    delivered = (
        select(order.channel, order.placed_at, last.label("came"))
        .join(shipments, shipments.c.order_number == order.number)
        .where(period.orders, order.stage.in_(ARRIVED), shipments.c.status == ShipmentStatus.DELIVERED.value)
        .group_by(order.number, order.channel, order.placed_at)
        .having(last.is_not(None))
    )
    taken: defaultdict[tuple[str, str], Times] = defaultdict(Times)
    for until, statement in (("shipped", shipped), ("delivered", delivered)):
        async for channel, placed_at, came in stream(connection, statement):
            taken[channel or "", until].add(came - placed_at.date())
    keys = sorted(taken, key=lambda key: (key[0], key[1] == "delivered"))
    return [(*key, taken[key].count, taken[key].longest.days, taken[key].average(DAY)) for key in keys]


async def holds(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    event = order_events.c
    statement = (
        select(event.order_number, event.at, event.action, event.detail)
        .join(orders, orders.c.number == event.order_number)
        .where(period.orders, event.action.in_([Action.HOLD.value, Action.RELEASE.value]))
        .order_by(event.order_number, event.sequence)
    )
    times: Counter[str] = Counter()
    lasted: defaultdict[str, Times] = defaultdict(Times)
    here, since = "", dict[str, datetime]()
    async for number, at, action, detail in stream(connection, statement):
        if number != here:
            here, since = number, {}
        reason = orjson.loads(detail)["hold"]
        if action == Action.HOLD:
            times[reason] += 1
            since[reason] = at
        elif reason in since:
            lasted[reason].add(at - since.pop(reason))
    return [
        (reason, lasted[reason].count, lasted[reason].average(HOUR), count) for reason, count in sorted(times.items())
    ]
