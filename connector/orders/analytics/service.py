"""Metrics of customer service: kept promises and fill rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from connector.model.period import Period
from connector.model.shipments import ZERO
from connector.orders.analytics.metric import share
from connector.store.engine import Connection
from connector.store.queries import analytics


async def on_time(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    counts = await analytics.count_kept_promises(connection, period)
    return sorted((count.channel, count.orders, share(count.in_time, count.orders)) for count in counts)


async def fill_rate(connection: Connection, period: Period) -> Iterable[tuple[Any, ...]]:
    ordered: defaultdict[str, Decimal] = defaultdict(Decimal)
    allocated_total: defaultdict[str, Decimal] = defaultdict(Decimal)
    groups = analytics.stream_line_groups(connection, period)
    async for sku, quantity, canceled, allocated, imported, lines in groups:
        ordered[sku] += (quantity - (ZERO if imported else canceled)) * lines
        allocated_total[sku] += (quantity if imported else allocated) * lines
    return [
        (sku, ordered[sku], allocated_total[sku], share(allocated_total[sku], ordered[sku]))
        for sku in sorted(ordered)
        if ordered[sku]
    ]
