"""One report for all who ask at about the same time: a check calls the org, and signs in there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from connector.clock import Clock
from connector.model.health_check import DoctorReport

LIFETIME = timedelta(seconds=10)


class SharedReport:
    """Examines at most once at a time; a report younger than `LIFETIME` is given again."""

    def __init__(self, examine: Callable[[], Awaitable[DoctorReport]], clock: Clock) -> None:
        self._examine = examine
        self._clock = clock
        self._turn = asyncio.Lock()
        self._latest: DoctorReport | None = None

    async def get(self) -> DoctorReport:
        async with self._turn:
            latest = self._latest
            # From its end on: an org that does not answer takes longer than a report lives.
            if latest is None or self._clock.now() - latest.checked_at - timedelta(seconds=latest.seconds) > LIFETIME:
                latest = self._latest = await self._examine()
            return latest
