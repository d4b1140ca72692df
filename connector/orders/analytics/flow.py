"""How orders flow: where they are, how long they stay there, what holds them up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from connector.model.period import Period
from connector.model.stage import Stage
from connector.orders.analytics.figure import HOUR, Times
from connector.store.engine import Connection
from connector.store.queries import analytics

DAY = timedelta(days=1)


async def stages(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    found = {count.stage: count for count in await analytics.count_stages(connection, period)}
    return [
        (stage.value, count.on_hold, count.late, (period.now - count.oldest).days, count.orders)
        for stage in Stage
        if (count := found.get(stage)) is not None
    ]


async def dwell(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    spent: defaultdict[str, Times] = defaultdict(Times)
    last: tuple[str, datetime] | None = None
    async for number, at, before in analytics.stream_stage_changes(connection, period):
        if before is not None and last is not None and last[0] == number:
            spent[before].add(at - last[1])
        last = (number, at)
    return [
        (stage.value, spent[stage.value].count, spent[stage.value].average(HOUR))
        for stage in Stage
        if stage.value in spent
    ]


async def lead_time(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    taken: defaultdict[tuple[str, str], Times] = defaultdict(Times)
    for until, stream in (
        ("shipped", analytics.stream_shipped_orders),
        ("delivered", analytics.stream_delivered_orders),
    ):
        async for channel, placed_at, on in stream(connection, period):
            taken[channel or "", until].add(on - placed_at.date())
    keys = sorted(taken, key=lambda key: (key[0], key[1] == "delivered"))
    return [(*key, taken[key].count, taken[key].longest.days, taken[key].average(DAY)) for key in keys]


async def holds(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    times: Counter[str] = Counter()
    lasted: defaultdict[str, Times] = defaultdict(Times)
    here, since = "", dict[str, datetime]()
    async for number, at, placed, reason in analytics.stream_hold_events(connection, period):
        if number != here:
            here, since = number, {}
        if placed:
            times[reason] += 1
            since[reason] = at
        elif reason in since:
            lasted[reason].add(at - since.pop(reason))
    return [
        (reason, lasted[reason].count, lasted[reason].average(HOUR), count) for reason, count in sorted(times.items())
    ]
