"""How one call is repeated inside a claim: whether (the attempt says), how often (the settings), how long to wait.

Waits are seconds. Whatever would take longer is left to the caller, who has a queue to put its work back into.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt

from connector.clock import Clock
from connector.errors import SalesforceError
from connector.salesforce.attempt_context import track_attempts

T = TypeVar("T")

FIRST_WAIT = 0.5
LONGEST_BACKOFF = 8.0
LONGEST_WAIT = 60.0
"""A Retry-After beyond this ends the tries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt(Generic[T]):
    """One try of a call: what it gave, or the error it came to.

    `soon`: a repeat within seconds can help; `outcome_known`: the org did not do the work; `retry_after`: seconds the
    other side asked for.
    """

    value: T | None = None
    error: SalesforceError | None = None
    soon: bool = False
    outcome_known: bool = True
    retry_after: float | None = None

    def worth_repeating(self, *, repeatable: bool) -> bool:
        """Whether to try again; a call that is not `repeatable` only if the org certainly did not do it."""
        return self.soon and (repeatable or self.outcome_known) and (self.retry_after or 0) <= LONGEST_WAIT


async def call_with_retry(
    attempt: Callable[[], Awaitable[Attempt[T]]], *, clock: Clock, attempts: int, repeatable: bool = True
) -> T:
    """What the first try that worked gave; the error of the last otherwise."""

    watcher = track_attempts()

    async def once() -> Attempt[T]:
        await watcher.may_send()
        result = await attempt()
        watcher.doubtful |= result.error is not None and not result.outcome_known
        return result

    def wait(state: RetryCallState) -> float:
        return _wait(state.attempt_number, _result(state).retry_after, clock)

    last: Attempt[T] = await AsyncRetrying(
        sleep=clock.sleep,
        stop=stop_after_attempt(min(attempts, watcher.attempts or attempts)),
        wait=wait,
        retry=retry_if_result(lambda result: result.worth_repeating(repeatable=repeatable)),
        retry_error_callback=_result,
        reraise=True,
    )(once)
    if last.error is not None:
        raise last.error
    assert last.value is not None
    return last.value


def retry_after(value: str | None, clock: Clock) -> float | None:
    """Seconds asked for by a Retry-After header (a number or an HTTP date); None without one or for nonsense."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - clock.now()).total_seconds())


def _wait(attempt_number: int, asked: float | None, clock: Clock) -> float:
    """What was asked for, plus up to a tenth; else a doubling wait, half of it by chance so that callers spread."""
    if asked is not None:
        return asked * (1 + clock.jitter() / 10)
    ceiling = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** (attempt_number - 1))
    return ceiling * (0.5 + clock.jitter() / 2)


def _result(state: RetryCallState) -> Attempt[Any]:
    assert state.outcome is not None
    result: Attempt[Any] = state.outcome.result()
    return result
