"""What a caller decides about the attempts of its calls, and learns about them afterwards.

A call is attempted several times, and only the last attempt returns a result. If an earlier one ended without a
response, the org may have executed it; then a refusal of the last one does not prove that nothing was done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


async def _allow_always() -> None:
    """Nothing speaks against sending."""


@dataclass(slots=True)
class AttemptTracker:
    """`may_send` is awaited before every attempt, and raises if it must not be made. `unconfirmed` is set if an attempt
    got no response.

    `attempts` limits the number of attempts below the usual one, for a call that only tests whether the org is
    available.
    """

    may_send: Callable[[], Awaitable[None]] = _allow_always
    unconfirmed: bool = False
    attempts: int | None = None


_current: ContextVar[AttemptTracker | None] = ContextVar("sending", default=None)


@contextmanager
def track_with(tracker: AttemptTracker) -> Iterator[AttemptTracker]:
    """Report the attempts of all calls inside to `tracker`."""
    token = _current.set(tracker)
    try:
        yield tracker
    finally:
        _current.reset(token)


def get_tracker() -> AttemptTracker:
    """The tracker for the calls of this task."""
    return _current.get() or AttemptTracker()
