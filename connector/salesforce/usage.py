"""Counts API usage: requests as the org counts them, and calls as we count them."""

from __future__ import annotations

import re
from typing import NamedTuple

_API_USAGE = re.compile(r"(?:^|[;\s])api-usage=(\d+)/(\d+)")


class Usage(NamedTuple):
    """API requests of the last 24 hours, by everybody, and how many the org allows."""

    used: int
    allowed: int


class CallCounts(NamedTuple):
    """HTTP requests sent to the data API, repeats included. Sign-ins do not count against the org's limit."""

    reads: int
    writes: int


class Meter:
    """Counts calls and keeps the newest `Sforce-Limit-Info` (`api-usage=18/15000; per-app-api-usage=…`)."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.calls = CallCounts(0, 0)

    def count(self, *, write: bool, times: int = 1) -> None:
        reads, writes = self.calls
        self.calls = CallCounts(reads, writes + times) if write else CallCounts(reads + times, writes)

    def read(self, limit_info: str | None) -> None:
        if limit_info and (match := _API_USAGE.search(limit_info)):
            self.usage = Usage(int(match[1]), int(match[2]))
