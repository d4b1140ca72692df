"""What a caller decides about the tries of its calls, and what it must know of them afterwards.

A call is tried several times, and only the last try answers. If an earlier one ended without an answer, the org may
have done its work: then a refusal of the last one does not say that nothing was done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


async def _always() -> None:
    """Nothing speaks against sending."""


@dataclass(slots=True)
class AttemptTracker:
    """`may_send` is asked before every try, and raises if none may be; `doubtful` tells that one went unanswered.

    `attempts` is how often a call may be tried, if that is less than usual: for one that only asks whether the org is
    there."""

    may_send: Callable[[], Awaitable[None]] = _always
    doubtful: bool = False
    attempts: int | None = None


_current: ContextVar[AttemptTracker | None] = ContextVar("sending", default=None)


@contextmanager
def current_tracker(sending: AttemptTracker) -> Iterator[AttemptTracker]:
    """All calls made inside report to `sending`."""
    token = _current.set(sending)
    try:
        yield sending
    finally:
        _current.reset(token)


def track_attempts() -> AttemptTracker:
    """Who watches the calls of this task."""
    return _current.get() or AttemptTracker()
