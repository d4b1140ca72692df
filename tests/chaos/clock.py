"""Time that moves only when somebody waits for it, the same for the org and for every process."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

TICK = timedelta(microseconds=20)
"""Time passes a little whenever somebody looks at it. The org stamps by the second: many stamps are equal."""


class SharedTime:
    """The time of a schedule."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 1, 9, tzinfo=UTC)
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        self._now += TICK
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait_until(self, moment: datetime) -> None:
        """Wait until others have moved the time so far."""
        while self._now < moment:
            await self._moved.wait()


class ProcessClock:
    """The clock of one process. What it waits for in the foreground comes at once; its background tasks, which renew
    leases, wait until the time has passed. While it is `frozen` they do not wake."""

    def __init__(self, time: SharedTime, source: random.Random) -> None:
        self._time = time
        self._source = source
        self.awake = asyncio.Event()
        self.awake.set()

    def now(self) -> datetime:
        return self._time.now()

    async def sleep(self, seconds: float) -> None:
        if _is_background():
            await self._time.wait_until(self._time.now() + timedelta(seconds=seconds))
            await self.awake.wait()
            return
        self._time.advance(seconds)
        await asyncio.sleep(0)

    def jitter(self) -> float:
        return self._source.random()


def _is_background() -> bool:
    """Whether the present task does nothing but sleep, as the pause of a lease keeper does."""
    task = asyncio.current_task()
    return task is not None and getattr(task.get_coro(), "__qualname__", "").endswith("ProcessClock.sleep")
