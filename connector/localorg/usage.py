"""API usage: calls in the last 24 hours and since the last reset, and a bounded log of calls."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from connector.localorg.storage import Storage

_LOG_SIZE = 10_000
_HOURS = 24
MAX_PUBLISHED_PER_HOUR = 250_000  # platform events, by every way of publishing


@dataclass(kw_only=True, slots=True)
class LoggedCall:
    time: str
    method: str
    path: str
    status: int  # 0 when the connection was dropped instead of answered
    rows: int
    ms: float
    fault: str | None = None


class RollingCounter:
    """A count over the last hours, by whole hours."""

    def __init__(self, clock: Callable[[], datetime], hours: int) -> None:
        self._clock = clock
        self._length = hours
        self.hours: dict[int, int] = {}
        self._hour = -1
        self._sum = 0

    def add(self, count: int) -> None:
        hour = self._now()
        self.hours[hour] = self.hours.get(hour, 0) + count
        if hour == self._hour:
            self._sum += count
        else:
            self.hours = {h: n for h, n in self.hours.items() if h > hour - self._length}
            self._hour = hour
            self._sum = sum(self.hours.values())

    @property
    def used(self) -> int:
        hour = self._now()
        if hour == self._hour:
            return self._sum
        return sum(n for h, n in self.hours.items() if h > hour - self._length)

    def _now(self) -> int:
        return int(self._clock().timestamp()) // 3600


class Usage:
    """Counts of calls and events. A delivered event counts once for each subscriber."""

    def __init__(self, storage: Storage, clock: Callable[[], datetime], limit: int) -> None:
        self.storage = storage
        self.clock = clock
        self.limit = limit
        self.delivery_limit: int | None = None  # of the last 24 hours; None counts only
        self.log: deque[LoggedCall] = deque(maxlen=_LOG_SIZE)
        self.reset(persist=False)
        stored = storage.get_meta("usage")
        if stored:
            counters = json.loads(stored)
            self.calls, self.writes, self.reads = counters["calls"], counters["writes"], counters["reads"]
            self.by_resource.update(counters["by_resource"])
            self._window.hours.update({int(hour): count for hour, count in counters["hours"].items()})

    def reset(self, *, persist: bool = True) -> None:
        self.calls = self.writes = self.reads = 0
        self.by_resource: Counter[str] = Counter()
        self._window = RollingCounter(self.clock, _HOURS)
        self.delivered = RollingCounter(self.clock, _HOURS)
        self.published = RollingCounter(self.clock, 1)
        if persist:
            self.save()

    def record_call(self, resource: str, *, write: bool, calls: int = 1) -> None:
        self.calls += calls
        if write:
            self.writes += calls
        else:
            self.reads += calls
        self.by_resource[resource] += calls
        self._window.add(calls)
        self.save()

    @property
    def used(self) -> int:
        """Calls in the last 24 hours, as in the limit header."""
        return self._window.used

    @property
    def exhausted(self) -> bool:
        return self.used >= self.limit

    @property
    def deliverable(self) -> int | None:
        """How many more events may be delivered today; None without a limit."""
        return None if self.delivery_limit is None else max(self.delivery_limit - self.delivered.used, 0)

    @property
    def header(self) -> str:
        return f"api-usage={self.used}/{self.limit}"

    def save(self) -> None:
        self.storage.set_meta(
            "usage",
            json.dumps(
                {
                    "calls": self.calls,
                    "writes": self.writes,
                    "reads": self.reads,
                    "by_resource": self.by_resource,
                    "hours": self._window.hours,
                }
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "api_calls": self.calls,
            "write_calls": self.writes,
            "read_calls": self.reads,
            "by_resource": dict(sorted(self.by_resource.items())),
            "last_24_hours": self.used,
            "limit": self.limit,
            "events_delivered": self.delivered.used,
            "events_published": self.published.used,
        }

    def recent_calls(self, limit: int) -> list[dict[str, Any]]:
        """Return the latest calls, newest first."""
        calls = list(self.log)[-limit:] if limit > 0 else []
        return [asdict(call) for call in reversed(calls)]
