"""How long changes took to reach the other side: counted in buckets, of which percentiles are read. PURE."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SLOT = timedelta(minutes=10)
"""Delays are counted by slots of this length."""
BOUNDS = (
    0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1200, 1800,
    2700, 3600, 5400, 7200, 10800, 21600, 43200, 86400, 172800, 604800,
)  # fmt: skip
"""The upper ends of the buckets in seconds. What took longer than the last one is in a bucket of its own."""


class Direction(StrEnum):
    TO_ORG = "to_org"
    FROM_ORG = "from_org"


@dataclass(frozen=True, order=True, slots=True)
class DelayBucket:
    """Changes of one kind that took about as long. `kind`: to the org, the stage of an order, or `customer`, `product`,
    `return`; from the org, the object."""

    direction: Direction
    kind: str
    bucket: int


DelayCounts = Mapping[DelayBucket, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Delays:
    """How many changes arrived, and within how many seconds half of them did, and 95 of 100: the upper end of a bucket.
    None: no change arrived, or they took longer than a week."""

    changes: int
    p50: float | None
    p95: float | None


def slot_of(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute - moment.minute % 10, second=0, microsecond=0)


def bucket_of(direction: Direction, kind: str, delay: timedelta) -> DelayBucket:
    return DelayBucket(direction, kind, bisect_left(BOUNDS, delay.total_seconds()))


def summarize(counts: Mapping[int, int]) -> Delays:
    """The delays of these counts by bucket."""
    total = sum(counts.values())
    if not total:
        return Delays(changes=0, p50=None, p95=None)
    return Delays(changes=total, p50=_within(counts, 0.5 * total), p95=_within(counts, 0.95 * total))


def _within(counts: Mapping[int, int], wanted: float) -> float | None:
    """The upper end of the bucket by which this many changes had arrived."""
    arrived = 0
    for bucket in sorted(counts):
        arrived += counts[bucket]
        if arrived >= wanted:
            return BOUNDS[bucket] if bucket < len(BOUNDS) else None
    return None
