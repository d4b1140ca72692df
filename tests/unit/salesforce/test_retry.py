"""What the first attempt of a call or a transaction leaves behind, when nothing goes wrong."""

from __future__ import annotations

import gc

from connector.clock import SystemClock
from connector.salesforce.retry import Attempt, call_with_retry
from connector.store.retry import retry_on_abort


async def test_call_and_transaction_leave_nothing_to_the_garbage_collector() -> None:
    """It comes seldom, so what waits for it adds up. tenacity has one small cycle for each kind of exception."""
    clock = SystemClock()

    async def attempt() -> Attempt[str]:
        return Attempt(value="answer")

    async def work() -> str:
        return "stored"

    for _ in range(2):  # the first time, something may be cached
        gc.collect()
        gc.disable()
        try:
            assert await call_with_retry(attempt, clock=clock, attempts=3) == "answer"
            assert await retry_on_abort(clock, work) == "stored"
            left = gc.collect()
        finally:
            gc.enable()
    assert left <= 3
