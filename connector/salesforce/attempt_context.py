"""What a caller decides about the attempts of its calls, and learns about them afterwards.

A call is attempted several times, and only the last attempt returns a result. If an earlier one ended without a
response, the org may have executed it; then a refusal of the last one does not prove that nothing was done.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from connector.log import get_logger

log = get_logger(__name__)


async def _allow_always() -> None:
    """Nothing speaks against sending."""


def _new_id() -> str:
    return secrets.token_hex(6)


@dataclass(slots=True)
class CallNote:
    """The latest request of a call, and how many there were. `id` is in the header `X-Request-ID` of each of them and
    in the log; `path` has neither parameters nor the version of the API; `status` is None without a response."""

    id: str = field(default_factory=_new_id)
    method: str = ""
    path: str = ""
    status: int | None = None
    requests: int = 0
    milliseconds: int = 0

    def add(self, method: str, path: str, status: int | None, milliseconds: float, *, size: int) -> None:
        """Note one request, also in the log. `size`: bytes of its body."""
        self.method, self.path, self.status = method, path, status
        self.requests += 1
        self.milliseconds += round(milliseconds)
        log.debug(
            "salesforce_call",
            call=self.id,
            method=method,
            path=path,
            status="none" if status is None else status,
            milliseconds=round(milliseconds),
            bytes=size,
        )


@dataclass(slots=True)
class AttemptTracker:
    """`may_send` is awaited before every attempt, and raises if it must not be made. `unconfirmed` is set if an attempt
    got no response. `call` says what was sent.

    `attempts` limits the number of attempts below the usual one, for a call that only tests whether the org is
    available.
    """

    may_send: Callable[[], Awaitable[None]] = _allow_always
    unconfirmed: bool = False
    attempts: int | None = None
    call: CallNote = field(default_factory=CallNote)


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
