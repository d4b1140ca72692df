"""Where a poll begins the next time, and how it learns from records that come late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from connector.inbound.poll import FIRST_OVERLAP, LONGEST_OVERLAP, MAX_RECENT, OVERLAP_KEPT, Watermark
from connector.model.inbound_change import RemoteRecord

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(number: int, seconds: float) -> RemoteRecord:
    return RemoteRecord(
        sobject="Account",
        id=f"{number:018}",
        fields={},
        read_at=NOON,
        modified_at=NOON,
        stamped_at=NOON + timedelta(seconds=seconds),
    )


def test_watermark_is_the_latest_stamp_and_the_poll_begins_an_overlap_earlier() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 5), record(2, 3)])
    assert watermark.at == NOON + timedelta(seconds=5)
    assert watermark.start == watermark.at - FIRST_OVERLAP


def test_record_read_again_is_not_late() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 0), record(2, 100)])
    assert watermark.advanced([record(2, 100)]).overlap == FIRST_OVERLAP


def test_record_that_comes_late_widens_the_overlap_to_twice_its_delay() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 20)])
    assert watermark.advanced([record(2, 0)]).overlap == timedelta(seconds=40)


def test_record_that_changed_again_is_judged_by_its_new_stamp() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 100)])
    assert watermark.advanced([record(1, 101)]).overlap == FIRST_OVERLAP


def test_overlap_has_a_limit() -> None:
    watermark = Watermark(at=NOON, overlap=LONGEST_OVERLAP).advanced([record(1, 0)])
    assert watermark.advanced([record(2, -500)]).overlap == LONGEST_OVERLAP


def test_known_records_of_a_wider_overlap_are_not_late() -> None:
    """The poll after a late record begins earlier than what is remembered."""
    watermark = Watermark(at=NOON).advanced([record(1, 0), record(2, 50)]).advanced([record(3, 30)])
    assert watermark.overlap == timedelta(seconds=40)
    assert watermark.advanced([record(4, 15), record(3, 30), record(2, 50)]).overlap == timedelta(seconds=40)


def test_more_records_than_are_remembered_are_not_late_when_they_are_read_again() -> None:
    rows = [record(number, number * 29 / (2 * MAX_RECENT)) for number in range(2 * MAX_RECENT)]
    first = Watermark(at=NOON).advanced(rows)
    assert len(first.recent) == MAX_RECENT
    again = Watermark.load(first.dump()).advanced(rows)
    assert (again.overlap, len(again.recent)) == (FIRST_OVERLAP, MAX_RECENT)
    late = record(10**6, 20)
    assert again.advanced([late]).overlap > timedelta(seconds=17)  # one that came late is still seen among them


def test_overlap_is_halved_after_each_week_in_which_nothing_came_so_late() -> None:
    watermark = Watermark(at=NOON, overlap=timedelta(seconds=80)).advanced([record(1, 0)])
    hours = OVERLAP_KEPT.total_seconds() / 3600
    seen = []
    for hour in range(0, int(4 * hours), 12):
        watermark = watermark.advanced([record(1, hour * 3600)])
        if hour == hours / 2:  # half of 80 seconds would not have done for this one
            watermark = watermark.advanced([record(2, hour * 3600 - 25)])
        seen.append((hour / hours, watermark.overlap.total_seconds()))
    changes = [(week, now) for (_, before), (week, now) in pairwise(seen) if now != before]
    assert [now for _, now in changes] == [40, 30]
    assert 1.5 < changes[0][0] < 1.6
    assert 2.5 < changes[1][0] < 2.7


def test_records_older_than_the_overlap_are_forgotten() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 0)]).advanced([record(2, 3600)])
    assert list(watermark.recent) == [record(2, 3600).id]


def test_watermark_survives_its_storage() -> None:
    watermark = Watermark(at=NOON).advanced([record(1, 1.5), record(2, -30)])
    assert Watermark.load(watermark.dump()) == watermark
