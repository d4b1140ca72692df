"""Once more: a transaction that the database gave up for another one left nothing behind, and may be repeated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from connector.clock import Clock
from connector.errors import AbortedError

T = TypeVar("T")

REPEATS = 3
SECONDS = 0.05
"""Before the first repeat; twice as long before each further one, and never two callers alike."""


async def repeated(clock: Clock, work: Callable[[], Awaitable[T]]) -> T:
    """What `work`, one transaction, comes to; the last AbortedError if it was given up every time."""
    for repeat in range(REPEATS):
        try:
            return await work()
        except AbortedError:
            await clock.sleep(SECONDS * 2**repeat * (0.5 + clock.jitter()))
    return await work()
