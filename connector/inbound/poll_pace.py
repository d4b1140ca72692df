"""How long to wait before the next poll: short while changes come, long while it is quiet, within a budget of calls.
PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connector.model.deliveries import next_midnight
from connector.model.hourly_counts import DAY


@dataclass(frozen=True, kw_only=True, slots=True)
class PaceLimits:
    """Seconds between two polls, and the API calls that polls may take in a day (UTC)."""

    shortest: float
    longest: float
    calls_per_day: int


class PollPace:
    """The pause before the next poll. After a poll with changes it is the shortest one; each poll without doubles it.

    The calls that are left for the day are spread over the rest of it: the more are used, the longer the pause, up to
    the longest one.
    """

    def __init__(self, limits: PaceLimits) -> None:
        self._limits = limits
        self._pause = limits.shortest
        self._calls = 0
        self._calls_per_poll = 1.0
        self._day: datetime | None = None

    def note(self, *, changes: int, calls: int, now: datetime) -> None:
        """A poll took `calls` calls and found `changes`."""
        limits = self._limits
        self._begin_day(now)
        self._calls += calls
        self._calls_per_poll = max((self._calls_per_poll + calls) / 2, 1.0)
        self._pause = limits.shortest if changes else min(2 * self._pause, limits.longest)

    def seconds(self, now: datetime) -> float:
        """The pause before the next poll."""
        self._begin_day(now)
        calls_left = self._limits.calls_per_day - self._calls
        seconds_left = (next_midnight(now) - now).total_seconds()
        affordable = seconds_left * self._calls_per_poll / calls_left if calls_left > 0 else self._limits.longest
        return min(max(self._pause, affordable), self._limits.longest)

    def _begin_day(self, now: datetime) -> None:
        day = next_midnight(now) - DAY
        if day != self._day:
            self._day, self._calls = day, 0
