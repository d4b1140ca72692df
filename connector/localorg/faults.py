"""How the org is told to misbehave: latency, and a bounded number of calls that fail in a named way. Off by default.

A lost response is the harshest: the write is committed and the connection dropped, so only the org knows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

_MOST = 100_000
_MOST_LATENCY = 60_000
_STATUSES = {500, 502, 503}
_DELAYS = ("latency_ms", "event_delay_ms")
_COUNTS = (
    "lost_response", "row_lock", "limit", "expired_session", "status_count", "event_duplicate", "event_gap",
    "event_limit", "publish_failure", "stream_break",
)  # fmt: skip


@dataclass(kw_only=True)
class Faults:
    """Each count says how many of the next calls it hits; writes for the first two, any call for the others.

    Of the event bus: so many of the next events are there twice, are gap events, cannot be published; so many of the
    next deliveries are refused by the limit, or are the last of their stream.
    """

    latency_ms: int = 0
    event_delay_ms: int = 0  # added to the delivery of every event
    lost_response: int = 0
    row_lock: int = 0
    limit: int = 0
    expired_session: int = 0
    status: int = 503
    status_count: int = 0
    event_duplicate: int = 0
    event_gap: int = 0
    event_limit: int = 0
    publish_failure: int = 0
    stream_break: int = 0

    def told(self) -> dict[str, Any]:
        return asdict(self)

    def configure(self, wanted: dict[str, Any]) -> None:
        """`{"status": 503, "count": 2}` or `{"status": {"code": 503, "count": 2}}`, and a number for each other."""
        given = dict(wanted)
        status = given.pop("status", None)
        if isinstance(status, dict):
            given["status_count"] = status.get("count", 1)
            status = status.get("code", 503)
        elif status is not None:
            given["status_count"] = given.pop("count", given.get("status_count", 1))
        if status is not None:
            if status not in _STATUSES:
                raise ValueError("status: one of 500, 502, 503")
            given["status"] = status
        for name, value in given.items():
            if name not in self.__dataclass_fields__:
                raise ValueError(f"{name}: no such fault")
            most = _MOST_LATENCY if name in _DELAYS else _MOST
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
                raise ValueError(f"{name}: a whole number from 0 to {most}")
        for name, value in given.items():
            setattr(self, name, value)

    def take(self, name: str) -> bool:
        """Whether this call is hit; uses one up."""
        left = getattr(self, name)
        if left:
            setattr(self, name, left - 1)
        return bool(left)

    def clear(self) -> None:
        for name in (*_DELAYS, *_COUNTS):
            setattr(self, name, 0)
