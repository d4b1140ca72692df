"""Fault injection: latency, and a bounded number of calls that fail in a given way. Everything is off by default.

The harshest fault is a lost response: the write is committed and the connection dropped, so only the org knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from connector.localorg.fault_responses import (
    DATA,
    SIGN_IN,
    WRITES,
    CannedResponse,
    RowRefusal,
    parse_canned_response,
    parse_row_refusal,
    render_fault,
)

_MAX_COUNT = 100_000
_MAX_LATENCY_MS = 60_000
_STATUSES = range(400, 600)
_LOCK_WAIT = 10_000
_DELAYS = (
    "latency_ms", "latency_spread_ms", "latency_row_ms", "late_commit_ms", "lock_hold_ms", "lock_row_ms",
    "event_delay_ms",
)  # fmt: skip
_COUNTS = (
    "lost_response", "row_lock", "limit", "concurrent_limit", "expired_session", "reset", "truncated", "status_count",
    "event_duplicate", "event_gap", "event_limit", "publish_failure", "stream_break", "answer_count", "rows_count",
)  # fmt: skip


@dataclass(kw_only=True)
class Faults:
    """The faults that are set. A count says how many of the next calls it hits; `lost_response` and `row_lock` hit
    writes only.

    The `event_*` counts hit events and deliveries: so many of the next events are duplicated, become gap events or
    cannot be published; so many of the next deliveries are refused by the limit or end their stream.
    """

    latency_ms: int = 0  # before every call
    latency_spread_ms: int = 0  # on top of it, exponentially distributed with this mean
    latency_row_ms: int = 0  # after every row written
    late_commit_ms: int = 0  # between the timestamp of a write and its commit
    lock_hold_ms: int = 0  # how long a write holds its rows and their parents after its call
    lock_row_ms: int = 0  # and longer for every row
    lock_wait_ms: int = _LOCK_WAIT  # how long other writers wait
    lost_response: int = 0
    row_lock: int = 0
    limit: int = 0
    concurrent_limit: int = 0
    expired_session: int = 0
    reset: int = 0  # the connection is dropped before the call is handled
    truncated: int = 0  # the response ends in the middle
    status: int = 503
    status_count: int = 0
    event_delay_ms: int = 0  # before every event delivered
    event_duplicate: int = 0
    event_gap: int = 0
    event_limit: int = 0
    publish_failure: int = 0
    stream_break: int = 0
    answer: CannedResponse | None = None  # to the next `answer_count` calls
    answer_count: int = 0
    rows: RowRefusal | None = None  # of the next `rows_count` rows that match
    rows_count: int = 0

    def as_dict(self) -> dict[str, Any]:
        counts = asdict(self)
        del counts["answer_count"], counts["rows_count"]
        return counts | {
            "answer": render_fault(self.answer, self.answer_count),
            "rows": render_fault(self.rows, self.rows_count),
        }

    def configure(self, body: dict[str, Any]) -> None:
        """Set faults: `{"status": 503, "count": 2}` or `{"status": {"code": 503, "count": 2}}`, a number for each other
        one.
        """
        settings = dict(body)
        answer = parse_canned_response(settings.pop("answer")) if "answer" in settings else None
        rows = parse_row_refusal(settings.pop("rows")) if "rows" in settings else None
        status = settings.pop("status", None)
        if isinstance(status, dict):
            settings["status_count"] = status.get("count", 1)
            status = status.get("code", 503)
        elif status is not None:
            settings["status_count"] = settings.pop("count", settings.get("status_count", 1))
        if status is not None:
            if isinstance(status, bool) or not isinstance(status, int) or status not in _STATUSES:
                raise ValueError("status: must be a number from 400 to 599")
            settings["status"] = status
        for name, value in settings.items():
            if name not in self.__dataclass_fields__:
                raise ValueError(f"{name}: is no fault; one of {', '.join(self.__dataclass_fields__)}")
            most = _MAX_LATENCY_MS if name.endswith("_ms") else _MAX_COUNT
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
                raise ValueError(f"{name}: must be a whole number from 0 to {most}")
        for name, value in settings.items():
            setattr(self, name, value)
        if answer is not None:
            self.answer, self.answer_count = answer
        if rows is not None:
            self.rows, self.rows_count = rows

    def take_canned_response(self, *, write: bool = False, sign_in: bool = False) -> CannedResponse | None:
        """Return the canned response for this call, or None. It counts the response down."""
        of = self.answer.of if self.answer is not None else ""
        meant = of == SIGN_IN if sign_in else of == DATA or (write and of == WRITES)
        return self.answer if meant and self.take("answer_count") else None

    def refuse_row(self, sobject: str, body: Mapping[str, Any]) -> None:
        """Raise the set Refusal if it matches this row. It counts the refusal down."""
        if self.rows is not None and self.rows_count and self.rows.matches(sobject, body):
            self.rows_count -= 1
            raise self.rows.refusal()

    def take(self, name: str) -> bool:
        """Whether this call is hit. It counts the fault down."""
        remaining = getattr(self, name)
        if remaining:
            setattr(self, name, remaining - 1)
        return bool(remaining)

    def clear(self) -> None:
        self.lock_wait_ms = _LOCK_WAIT
        for name in (*_DELAYS, *_COUNTS):
            setattr(self, name, 0)
