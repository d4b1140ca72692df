"""Metrics of the order flow: orders by stage, time in stages, lead time, holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from connector.model.period import Period
from connector.model.stage import Stage
from connector.orders.analytics.metric import HOUR, Durations
from connector.store.engine import Connection
from connector.store.queries import analytics

DAY = timedelta(days=1)


async def stages(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    by_stage = {count.stage: count for count in await analytics.count_stages(connection, period)}
    return [
        (stage.value, count.on_hold, count.late, (period.now - count.oldest).days, count.orders)
        for stage in Stage
        if (count := by_stage.get(stage)) is not None
    ]


async def dwell(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    durations: defaultdict[str, Durations] = defaultdict(Durations)
    last: tuple[str, datetime] | None = None
    async for number, at, before in analytics.stream_stage_changes(connection, period):
        if before is not None and last is not None and last[0] == number:
            durations[before].add(at - last[1])
        last = (number, at)
    return [
        (stage.value, durations[stage.value].count, durations[stage.value].average(HOUR))
        for stage in Stage
        if stage.value in durations
    ]


async def lead_time(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    durations: defaultdict[tuple[str, str], Durations] = defaultdict(Durations)
    for until, stream in (
        ("shipped", analytics.stream_shipped_orders),
        ("delivered", analytics.stream_delivered_orders),
    ):
        async for channel, placed_at, on in stream(connection, period):
            durations[channel or "", until].add(on - placed_at.date())
    keys = sorted(durations, key=lambda key: (key[0], key[1] == "delivered"))
    return [(*key, durations[key].count, durations[key].longest.days, durations[key].average(DAY)) for key in keys]


async def holds(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    times: Counter[str] = Counter()
    durations: defaultdict[str, Durations] = defaultdict(Durations)
    current, since = "", dict[str, datetime]()
    async for number, at, is_hold, reason in analytics.stream_hold_events(connection, period):
        if number != current:
            current, since = number, {}
        if is_hold:
            times[reason] += 1
            since[reason] = at
        elif reason in since:
            durations[reason].add(at - since.pop(reason))
    return [
        (reason, durations[reason].count, durations[reason].average(HOUR), count)
        for reason, count in sorted(times.items())
    ]
