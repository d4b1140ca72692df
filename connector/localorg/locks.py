"""Row locks: a write holds its records and their parents while its call lasts; other writers wait, then give up.

Locks are off until a fault sets how long they last (`lock_hold_ms`, `lock_row_ms`). A call that finds a row locked is
rolled back and repeated when the row is free, for at most `lock_wait_ms`. After that the row fails with
UNABLE_TO_LOCK_ROW and the rest of the call continues.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from connector.localorg.errors import Refusal
from connector.localorg.faults import Faults
from connector.localorg.storage import RetryTransactionError

PARENT_FIELDS = ("OrderId", "AccountId", "ReturnOrderId")


class RowLockedError(RetryTransactionError):
    """Another call holds the row for `seconds` from now. The transaction must be rolled back."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class RowLocks:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._locked_until: dict[str, float] = {}  # record ID -> when it is free, of a monotonic clock
        self._acquired: set[str] = set()
        self._can_wait = False
        self._next_fails = False

    @property
    def active(self) -> bool:
        return bool(self._faults.lock_hold_ms or self._faults.lock_row_ms)

    @property
    def wait_seconds(self) -> float:
        """How long a call waits for locked rows, in seconds."""
        return self._faults.lock_wait_ms / 1000

    @contextmanager
    def call_scope(self, *, can_wait: bool, next_fails: bool = False) -> Iterator[None]:
        """Take locks for one call. If it `can_wait`, a locked row raises RowLockedError, else the row is refused."""
        self._acquired, self._can_wait, self._next_fails = set(), can_wait, next_fails
        try:
            yield
        finally:
            self._next_fails = False

    def acquire(self, *record_ids: object) -> None:
        """Lock these records. RowLockedError or Refusal if another call holds one of them."""
        ids = [str(record_id) for record_id in record_ids if record_id]
        if self._next_fails:
            self._next_fails = False
            raise _lock_refusal(ids[0] if ids else "")
        if not self.active:
            return
        now = time.monotonic()
        for record_id in ids:
            remaining = self._locked_until.get(record_id, 0.0) - now
            if remaining > 0 and self._can_wait:
                raise RowLockedError(remaining)
            if remaining > 0:
                raise _lock_refusal(record_id)
        self._acquired.update(ids)

    def hold_acquired(self, rows: int) -> float:
        """Hold the locks of this call for as long as the faults say; return that time in seconds."""
        if not self.active or not self._acquired:
            return 0.0
        seconds = (self._faults.lock_hold_ms + self._faults.lock_row_ms * rows) / 1000
        now = time.monotonic()
        self._locked_until = {record_id: free for record_id, free in self._locked_until.items() if free > now}
        self._locked_until.update(dict.fromkeys(self._acquired, now + seconds))
        return seconds


def _lock_refusal(record_id: str) -> Refusal:
    return Refusal(
        "UNABLE_TO_LOCK_ROW",
        f"unable to obtain exclusive access to this record or 1 records: {record_id}",
        fields=[],
    )
