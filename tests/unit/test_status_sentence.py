"""The status as one sentence says nothing that is not so."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connector.api.status_sentence import SyncState, describe_sync

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMPARED = {"has_org": True, "verified": 9_998, "total": 10_000, "verified_at": NOON}


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (SyncState(has_org=False, waiting=1, oldest_seconds=5),
         "No org has answered yet; 1 change waits to be sent, the oldest for 5 s."),
        (SyncState(has_org=True), "Every change is sent; both sides were never compared as a whole."),
        (SyncState(**COMPARED),  # type: ignore[arg-type]
         "Every change is sent; verified 9,998 of 10,000 records at 2026-03-01 12:00:00 UTC."),
        (SyncState(has_org=True, outage_code="REQUEST_LIMIT_EXCEEDED", outage_since=NOON, waiting=1200,
                   oldest_seconds=61, verified_at=NOON),
         "The org has accepted nothing since 2026-03-01 12:00:00 UTC (REQUEST_LIMIT_EXCEEDED); 1,200 changes wait to be"
         " sent, the oldest for 61 s; verified 0 of 0 records at 2026-03-01 12:00:00 UTC."),
        (SyncState(has_org=True, verified_at=NOON, other_outages={"emea": ("NO_ANSWER", NOON)}),
         "The org emea has accepted nothing since 2026-03-01 12:00:00 UTC (NO_ANSWER); every change is sent; verified 0"
         " of 0 records at 2026-03-01 12:00:00 UTC."),
        (SyncState(has_org=True, dead_letters=1, verified_at=NOON),
         "1 refused change waits for a person; everything else is sent; verified 0 of 0 records at 2026-03-01 12:00:00"
         " UTC."),
        (SyncState(has_org=True, dead_letters=2, conflicts=1, parked=3, stopped=["/data/A", "/event/B"], unread=1,
                   verified_at=NOON),
         "2 refused changes, 1 conflict and 3 parked records wait for a person; nobody listens to /data/A and /event/B;"
         " everything else is sent; 1 record of the org is to be read; verified 0 of 0 records at 2026-03-01 12:00:00"
         " UTC."),
    ],
)  # fmt: skip
def test_sentence_says_what_is_worst_first(state: SyncState, sentence: str) -> None:
    assert describe_sync(state) == sentence


def test_times_are_written_as_the_reader_has_them() -> None:
    state = SyncState(has_org=True, verified=1, total=1, verified_at=NOON)
    assert (
        describe_sync(state, lambda moment: f"{moment:%H} h")
        == "Every change is sent; verified 1 of 1 records at 12 h."
    )
