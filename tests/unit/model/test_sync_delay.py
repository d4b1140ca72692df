"""Percentiles of delays are upper ends of buckets, and what nobody measured is nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connector.model.sync_delay import BOUNDS, Delays, Direction, bucket_of, slot_of, summarize


def delays(*seconds: float) -> Delays:
    counts: dict[int, int] = {}
    for number in seconds:
        bucket = bucket_of(Direction.TO_ORG, "placed", timedelta(seconds=number)).bucket
        counts[bucket] = counts.get(bucket, 0) + 1
    return summarize(counts)


def test_percentiles_are_the_upper_ends_of_their_buckets() -> None:
    assert delays() == summarize({3: 0}) == Delays(changes=0, p50=None, p95=None)
    assert delays(-2) == Delays(changes=1, p50=0.1, p95=0.1)
    assert delays(0.3, 0.3, 4) == Delays(changes=3, p50=0.3, p95=5)
    assert delays(*[1] * 19, 50) == Delays(changes=20, p50=1, p95=1)
    assert delays(*[1] * 18, 50, 50) == Delays(changes=20, p50=1, p95=60)
    assert delays(BOUNDS[-1] + 1, BOUNDS[-1] + 1) == Delays(changes=2, p50=None, p95=None)


def test_slots_begin_every_ten_minutes() -> None:
    assert slot_of(datetime(2026, 2, 3, 4, 59, 59, 7, tzinfo=UTC)) == datetime(2026, 2, 3, 4, 50, tzinfo=UTC)
