"""Metrics that were computed a moment ago. Some stream all orders of a period, which takes seconds for a long history,
and several people look at the same one, or at one after the other and back."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

from connector.clock import Clock
from connector.model.period import Period
from connector.orders.analytics.metric import Metric
from connector.orders.analytics.metric_list import load_metric
from connector.store.engine import Connection

LIFETIME = timedelta(minutes=1)
MOST = 32
"""Metrics that are kept; the oldest one goes first."""


class RecentMetrics:
    """Gives a metric again for `LIFETIME`, and computes one at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()
        self._kept: OrderedDict[tuple[str, datetime, datetime], tuple[datetime, Metric]] = OrderedDict()

    async def get(
        self, reader: Callable[[], AbstractAsyncContextManager[Connection]], name: str, period: Period
    ) -> tuple[datetime, Metric]:
        """Return when the metric was computed, and it. `reader` opens a connection for reading."""
        key = (name, period.since, period.until)
        found = self._find(key)
        if found is not None:
            return found  # it does not wait while another one is computed
        async with self._turn:
            found = self._find(key)
            if found is None:
                async with reader() as connection:
                    found = (period.now, await load_metric(connection, name, period))
                self._kept[key] = found
                self._kept.move_to_end(key)
                while len(self._kept) > MOST:
                    self._kept.popitem(last=False)
            return found

    def _find(self, key: tuple[str, datetime, datetime]) -> tuple[datetime, Metric] | None:
        found = self._kept.get(key)
        return None if found is None or self._clock.now() - found[0] > LIFETIME else found
