"""Where a poll begins the next time, and how it learns from records that come late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connector.inbound.poll import FIRST_OVERLAP, LONGEST_OVERLAP, Watermark
from connector.model.inbound_change import RemoteRecord

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(number: int, seconds: float) -> RemoteRecord:
    return RemoteRecord(
        sobject="Account",
        id=f"{number:018}",
        fields={},
        read_at=NOON,
        modified_at=NOON + timedelta(seconds=seconds),
    )


def test_watermark_is_the_latest_stamp_and_the_poll_begins_an_overlap_earlier() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 5), record(2, 3)])
    assert watermark.at == NOON + timedelta(seconds=5)
    assert watermark.start == watermark.at - FIRST_OVERLAP


def test_record_read_again_is_not_late() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 0), record(2, 100)])
    assert watermark.advanced([record(2, 100)]).overlap == FIRST_OVERLAP


def test_record_that_comes_late_widens_the_overlap_to_twice_its_delay() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 100)])
    assert watermark.advanced([record(2, 60)]).overlap == timedelta(seconds=80)


def test_record_that_changed_again_is_judged_by_its_new_stamp() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 100)])
    assert watermark.advanced([record(1, 101)]).overlap == FIRST_OVERLAP


def test_overlap_has_a_limit() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, -7200)])
    assert watermark.overlap == LONGEST_OVERLAP


def test_records_older_than_the_overlap_are_forgotten() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 0)]).advanced([record(2, 3600)])
    assert list(watermark.recent) == [record(2, 3600).id]


def test_watermark_survives_its_storage() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 1.5), record(2, -30)])
    assert Watermark.load(watermark.dump()) == watermark
