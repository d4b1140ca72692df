"""API usage: requests as the org counts them, and calls as we count them."""

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


def read_usage(limit_info: str | None) -> Usage | None:
    """What an `Sforce-Limit-Info` header says; None if it says nothing."""
    match = _API_USAGE.search(limit_info) if limit_info else None
    return None if match is None else Usage(int(match[1]), int(match[2]))
