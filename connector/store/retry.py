"""Repeats a transaction that the database aborted in favor of another one; such a transaction has no effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from connector.clock import Clock
from connector.errors import AbortedError

T = TypeVar("T")

REPEATS = 3
SECONDS = 0.05
"""The wait before the first repeat. It doubles for each further one and is randomized."""


async def retry_on_abort(clock: Clock, work: Callable[[], Awaitable[T]]) -> T:
    """Run `work`, which is one transaction, and return its result. Raises the last AbortedError if every attempt was
    aborted."""

    async def attempt() -> T:  # tenacity awaits only a coroutine function, not a function that returns an awaitable
        return await work()

    trying = AsyncRetrying(
        retry=retry_if_exception_type(AbortedError),
        stop=stop_after_attempt(1 + REPEATS),
        wait=lambda state: SECONDS * 2 ** (state.attempt_number - 1) * (0.5 + clock.jitter()),
        sleep=clock.sleep,
        reraise=True,
    )
    try:
        return await trying(attempt)
    finally:
        trying.iter_state.reset()  # it refers to itself and to `work`, whose memory would wait for the collector
