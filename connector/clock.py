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


async def stopped_within(clock: Clock, seconds: float, stop: asyncio.Event) -> bool:
    """Sleep for so long, or until `stop` is set; whether it is set. For what is done again and again: only this pause
    is ever canceled, because a canceled statement would leave its connection with a lock."""
    pauses = {asyncio.ensure_future(clock.sleep(seconds)), asyncio.create_task(stop.wait())}
    await asyncio.wait(pauses, return_when=asyncio.FIRST_COMPLETED)
    for pause in pauses:
        pause.cancel()
    await asyncio.gather(*pauses, return_exceptions=True)
    return stop.is_set()
