"""Row locks: a write holds its records and their parents while its call goes on; others wait, and give up in time.

Off until a fault sets how long that is (`lock_hold_ms`, `lock_row_ms`): then two writers meet as they do in a real org.
A call that finds a row held is undone and tried again when the row is free, for at most `lock_wait_ms`; after that the
row fails with UNABLE_TO_LOCK_ROW and the rest of the call goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from connector.localorg.errors import Refusal
from connector.localorg.faults import Faults
from connector.localorg.storage import UndoneError

PARENTS = ("OrderId", "AccountId", "ReturnOrderId")


class HeldError(UndoneError):
    """A row is held by another call for `seconds` from now. Nothing of the call may stay."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Locks:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._held: dict[str, float] = {}  # record ID -> when it is free, of a monotonic clock
        self._mine: set[str] = set()
        self._patient = False
        self._next = False

    @property
    def active(self) -> bool:
        return bool(self._faults.lock_hold_ms or self._faults.lock_row_ms)

    @property
    def patience(self) -> float:
        """How long a call waits for rows, in seconds."""
        return self._faults.lock_wait_ms / 1000

    @contextmanager
    def call(self, *, patient: bool, next_fails: bool = False) -> Iterator[None]:
        """Take locks for one call: a patient one is told to wait, another has its row refused."""
        self._mine, self._patient, self._next = set(), patient, next_fails
        try:
            yield
        finally:
            self._next = False

    def take(self, *record_ids: object) -> None:
        """HeldError, or Refusal, if one of them is held by another call."""
        named = [str(record_id) for record_id in record_ids if record_id]
        if self._next:
            self._next = False
            raise _unable(named[0] if named else "")
        if not self.active:
            return
        now = time.monotonic()
        for record_id in named:
            left = self._held.get(record_id, 0.0) - now
            if left > 0 and self._patient:
                raise HeldError(left)
            if left > 0:
                raise _unable(record_id)
        self._mine.update(named)

    def hold(self, rows: int) -> float:
        """Keep what the call took, for as long as it goes on from now: seconds."""
        if not self.active or not self._mine:
            return 0.0
        seconds = (self._faults.lock_hold_ms + self._faults.lock_row_ms * rows) / 1000
        now = time.monotonic()
        self._held = {record_id: free for record_id, free in self._held.items() if free > now}
        self._held.update(dict.fromkeys(self._mine, now + seconds))
        return seconds


def _unable(record_id: str) -> Refusal:
    return Refusal(
        "UNABLE_TO_LOCK_ROW",
        f"unable to obtain exclusive access to this record or 1 records: {record_id}",
        fields=[],
    )
