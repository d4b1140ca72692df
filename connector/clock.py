"""Time, sleep and randomness in one place, so that tests can control them."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Protocol

_STEP = timedelta(microseconds=1)


class Clock(Protocol):
    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...

    def jitter(self) -> float:
        """A number in [0, 1)."""
        ...


class RepeatableClock:
    """Begins at `start`, and each time that is asked for is a microsecond later than the one before: work that is done
    again with another such clock sees the same times."""

    def __init__(self, clock: Clock, start: datetime) -> None:
        self._clock = clock
        self._now = start

    def now(self) -> datetime:
        self._now += _STEP
        return self._now

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def jitter(self) -> float:
        return self._clock.jitter()


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads retries, guards nothing
