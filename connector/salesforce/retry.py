"""Repeats one call inside a claim: the attempt says whether, the settings say how often, this module says how long to
wait.

Waits are in seconds. A repeat that would take longer is left to the caller, which has a queue.
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
from connector.salesforce.attempt_context import get_tracker

T = TypeVar("T")

FIRST_WAIT = 0.5
LONGEST_BACKOFF = 8.0
LONGEST_WAIT = 60.0
"""A Retry-After beyond this ends the attempts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt(Generic[T]):
    """One attempt of a call: its value, or its error.

    `soon`: a repeat within seconds can help. `outcome_known`: the org did not do the work. `retry_after`: the seconds
    that the org requested.
    """

    value: T | None = None
    error: SalesforceError | None = None
    soon: bool = False
    outcome_known: bool = True
    retry_after: float | None = None

    def worth_repeating(self, *, repeatable: bool) -> bool:
        """Whether to repeat the call. One that is not `repeatable` is repeated only if the org certainly did not
        execute it."""
        return self.soon and (repeatable or self.outcome_known) and (self.retry_after or 0) <= LONGEST_WAIT


async def call_with_retry(
    attempt: Callable[[], Awaitable[Attempt[T]]], *, clock: Clock, attempts: int, repeatable: bool = True
) -> T:
    """The value of the first attempt that succeeds. Raises the error of the last attempt otherwise."""

    tracker = get_tracker()

    async def attempt_once() -> Attempt[T]:
        await tracker.may_send()
        result = await attempt()
        tracker.unconfirmed |= result.error is not None and not result.outcome_known
        return result

    def wait(state: RetryCallState) -> float:
        return _wait(state.attempt_number, _result(state).retry_after, clock)

    trying = AsyncRetrying(
        sleep=clock.sleep,
        stop=stop_after_attempt(min(attempts, tracker.attempts or attempts)),
        wait=wait,
        retry=retry_if_result(lambda result: result.worth_repeating(repeatable=repeatable)),
        retry_error_callback=_result,
        reraise=True,
    )
    try:
        last: Attempt[T] = await trying(attempt_once)
    finally:
        trying.iter_state.reset()  # it refers to itself and to the call, whose memory would wait for the collector
    if last.error is not None:
        raise last.error
    assert last.value is not None
    return last.value


def parse_retry_after(value: str | None, clock: Clock) -> float | None:
    """The seconds of a Retry-After header (a number or an HTTP date); None if it is missing or malformed."""
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


def _wait(attempt_number: int, retry_after_seconds: float | None, clock: Clock) -> float:
    """The requested time plus up to a tenth; else an exponential backoff, half of it random so that callers spread."""
    if retry_after_seconds is not None:
        return retry_after_seconds * (1 + clock.jitter() / 10)
    ceiling = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** (attempt_number - 1))
    return ceiling * (0.5 + clock.jitter() / 2)


def _result(state: RetryCallState) -> Attempt[Any]:
    assert state.outcome is not None
    result: Attempt[Any] = state.outcome.result()
    return result
