"""Figures over the orders of a period: how long they dwell, what holds them up, what comes back, what they bring.

Each figure is a table: columns, and rows whose first values name what they are about and whose last one is measured.
An order belongs to the period in which it was placed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.event import Action
from connector.model.money import places_of, to_cents
from connector.model.parcels import ZERO, ShipmentStatus
from connector.model.stage import Stage
from connector.store.tables import order_events, order_lines, orders, returns, shipments

HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """From `since` on, and before `until`."""

    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """`about` says how it is measured; the last column is the one to draw."""

    name: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


async def figure(connection: AsyncConnection, name: str, period: Period) -> Figure:
    """One of FIGURES."""
    about, columns, count = FIGURES[name]
    chosen = (orders.c.placed_at >= period.since) & (orders.c.placed_at < period.until)
    return Figure(name=name, about=about, columns=columns, rows=tuple(await count(connection, chosen)))


async def _dwell(connection: AsyncConnection, chosen: ColumnElement[bool]) -> Iterable[tuple[Any, ...]]:
    event = order_events.c
    statement = (
        select(event.order_number, event.at, event.stage_before, event.stage_after)
        .join(orders, orders.c.number == event.order_number)
        .where(chosen)
        .order_by(event.order_number, event.sequence)
    )
    spent: defaultdict[str, list[timedelta]] = defaultdict(list)
    entered: dict[str, datetime] = {}
    for number, at, before, after in await connection.execute(statement):
        if before == after:
            continue
        if before is not None and number in entered:
            spent[before].append(at - entered[number])
        entered[number] = at
    return [
        (stage.value, len(spent[stage.value]), _hours(sum(spent[stage.value], timedelta()) / len(spent[stage.value])))
        for stage in Stage
        if spent[stage.value]
    ]


async def _on_time(connection: AsyncConnection, chosen: ColumnElement[bool]) -> Iterable[tuple[Any, ...]]:
    statement = (
        select(orders.c.number, orders.c.channel, orders.c.promised_on, shipments.c.delivered_on)
        .join(shipments, shipments.c.order_number == orders.c.number)
        .where(chosen, orders.c.stage.in_([Stage.DELIVERED.value, Stage.COMPLETED.value]))
        .where(orders.c.promised_on.is_not(None), shipments.c.status == ShipmentStatus.DELIVERED.value)
        .where(shipments.c.delivered_on.is_not(None))
    )
    late: dict[tuple[str, str], bool] = {}
    for number, channel, promised, delivered in await connection.execute(statement):
        key = (channel or "", number)
        late[key] = late.get(key, False) or delivered > promised
    return _shares(((channel, not was_late) for (channel, _), was_late in late.items()))


async def _holds(connection: AsyncConnection, chosen: ColumnElement[bool]) -> Iterable[tuple[Any, ...]]:
    event = order_events.c
    statement = (
        select(event.order_number, event.at, event.action, event.detail)
        .join(orders, orders.c.number == event.order_number)
        .where(chosen, event.action.in_([Action.HOLD.value, Action.RELEASE.value]))
        .order_by(event.order_number, event.sequence)
    )
    times: Counter[str] = Counter()
    lasted: defaultdict[str, list[timedelta]] = defaultdict(list)
    since: dict[tuple[str, str], datetime] = {}
    for number, at, action, detail in await connection.execute(statement):
        reason = orjson.loads(detail)["hold"]
        if action == Action.HOLD:
            times[reason] += 1
            since[number, reason] = at
        elif (number, reason) in since:
            lasted[reason].append(at - since.pop((number, reason)))
    return [(reason, len(lasted[reason]), _average(lasted[reason]), count) for reason, count in sorted(times.items())]


async def _returns(connection: AsyncConnection, chosen: ColumnElement[bool]) -> Iterable[tuple[Any, ...]]:
    delivered = select(orders.c.number).where(
        chosen, orders.c.stage.in_([Stage.DELIVERED.value, Stage.COMPLETED.value])
    )
    sold = len((await connection.execute(delivered)).all())
    statement = (
        select(returns.c.reason, returns.c.order_number)
        .join(orders, orders.c.number == returns.c.order_number)
        .where(chosen)
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for reason, number in await connection.execute(statement):
        found[reason].add(number)
    return [(reason, len(numbers), _share(len(numbers), sold)) for reason, numbers in sorted(found.items())]


async def _fill(connection: AsyncConnection, chosen: ColumnElement[bool]) -> Iterable[tuple[Any, ...]]:
    line = order_lines.c
    statement = (
        select(line.sku, line.quantity, line.cancelled, line.allocated)
        .join(orders, orders.c.number == line.order_number)
        .where(chosen, orders.c.events > 0, orders.c.stage.not_in([Stage.PLACED.value, Stage.CANCELLED.value]))
    )
    wanted: defaultdict[str, Decimal] = defaultdict(Decimal)
    there: defaultdict[str, Decimal] = defaultdict(Decimal)
    for sku, quantity, cancelled, allocated in await connection.execute(statement):
        wanted[sku] += quantity - cancelled
        there[sku] += allocated
    return [(sku, wanted[sku], there[sku], _share(there[sku], wanted[sku])) for sku in sorted(wanted) if wanted[sku]]


async def _revenue(connection: AsyncConnection, chosen: ColumnElement[bool]) -> Iterable[tuple[Any, ...]]:
    statement = select(orders.c.channel, orders.c.currency, orders.c.captured, orders.c.refunded).where(chosen)
    number: Counter[tuple[str, str]] = Counter()
    money: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for channel, currency, captured, refunded in await connection.execute(statement):
        number[channel or "", currency] += 1
        money[channel or "", currency] += captured - refunded
    return [(*key, number[key], to_cents(money[key], places_of(key[1]))) for key in sorted(number)]


_Counter = Callable[[AsyncConnection, ColumnElement[bool]], Awaitable[Iterable[tuple[Any, ...]]]]
FIGURES: Mapping[str, tuple[str, tuple[str, ...], _Counter]] = {
    "dwell": ("Hours that orders stayed in a stage, on average.", ("stage", "orders", "hours"), _dwell),
    "on-time": (
        "Orders whose last parcel came by the promised day, in percent.",
        ("channel", "orders", "percent"),
        _on_time,
    ),
    "holds": (
        "Why orders were on hold; hours until released, on average.",
        ("reason", "released", "hours", "times"),
        _holds,
    ),
    "returns": ("Orders of which something came back, in percent of those delivered.",
                ("reason", "orders", "percent"), _returns),
    "fill-rate": ("What of the ordered quantity could be allocated, in percent.",
                  ("sku", "wanted", "allocated", "percent"), _fill),
    "revenue": ("Captured less refunded, by channel.", ("channel", "currency", "orders", "revenue"), _revenue),
}  # fmt: skip


def _shares(items: Iterable[tuple[str, bool]]) -> list[tuple[Any, ...]]:
    every: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for name, fine in items:
        every[name] += 1
        good[name] += fine
    return [(name, every[name], _share(good[name], every[name])) for name in sorted(every)]


def _share(part: Decimal | int, whole: Decimal | int) -> Decimal:
    return to_cents(Decimal(part) * 100 / Decimal(whole)) if whole else ZERO


def _average(times: list[timedelta]) -> Decimal | None:
    return _hours(sum(times, timedelta()) / len(times)) if times else None


def _hours(time: timedelta) -> Decimal:
    return to_cents(Decimal(time / HOUR))
