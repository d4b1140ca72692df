"""How long to wait before the next poll."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connector.inbound.poll_pace import PaceLimits, PollPace

MORNING = datetime(2026, 3, 1, 0, 0, tzinfo=UTC)
LIMITS = PaceLimits(shortest=15, longest=300, calls_per_day=100_000)


def test_pause_is_short_while_changes_come_and_grows_while_it_is_quiet() -> None:
    pace = PollPace(LIMITS)
    assert pace.seconds(MORNING) == 15
    pauses = []
    for _ in range(6):
        pace.note(changes=0, calls=1, now=MORNING)
        pauses.append(pace.seconds(MORNING))
    assert pauses == [30, 60, 120, 240, 300, 300]
    pace.note(changes=3, calls=1, now=MORNING)
    assert pace.seconds(MORNING) == 15


def test_calls_of_a_busy_day_stay_within_the_budget_and_the_next_day_begins_anew() -> None:
    pace = PollPace(PaceLimits(shortest=15, longest=3_600, calls_per_day=1_000))
    now, calls = MORNING, 0
    while now < MORNING + timedelta(days=1):
        took = 3 if calls % 2 else 1
        pace.note(changes=1, calls=took, now=now)
        calls += took
        now += timedelta(seconds=pace.seconds(now))
    assert 900 <= calls <= 1_000
    assert pace.seconds(MORNING + timedelta(days=1)) < 3_600


def test_used_up_budget_leaves_the_longest_pause() -> None:
    pace = PollPace(PaceLimits(shortest=15, longest=300, calls_per_day=100))
    pace.note(changes=1, calls=100, now=MORNING)
    assert pace.seconds(MORNING) == 300
