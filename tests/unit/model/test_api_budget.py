"""The API budget: what is ours, which lanes call, when it runs out and when a lane goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.model.api_budget import (
    PAUSE_BETWEEN_PUSHES,
    ApiLimit,
    BudgetPolicy,
    BudgetState,
    BudgetUsage,
    describe_pause,
    estimate,
)
from connector.model.hourly_counts import HOUR, end_of_room, hour_of, rate_per_hour, time_of_rate, time_of_room
from connector.model.lane import CALL_LANES, Lane, call_lane

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - 10 * HOUR
Counts = Mapping[Lane, Mapping[datetime, int]]


def state_of(used: int, allowed: int = 10_000, lowest: Lane | None = Lane.BACKFILL) -> BudgetState:
    return BudgetState(lowest_lane=lowest, since=LONG_AGO, limit=ApiLimit(used=used, allowed=allowed, observed_at=NOW))


def usage_of(state: BudgetState, counts: Counts, policy: BudgetPolicy | None = None) -> BudgetUsage:
    return estimate(state, counts, NOW, policy or BudgetPolicy())


@pytest.mark.parametrize(
    ("left", "lowest"),
    [(2099, Lane.BACKFILL), (2098, Lane.PROFILE), (1083, Lane.PROFILE), (1082, Lane.NEW), (406, Lane.NEW),
     (405, Lane.STATUS), (68, Lane.STATUS), (67, None), (0, None)],
)  # fmt: skip
def test_lower_lanes_leave_a_part_of_our_share_to_higher_ones(left: int, lowest: Lane | None) -> None:
    """Of 10,000 calls, 1,000 are reserved and others use 2,230: 6,770 are ours, and 67 of them for looks."""
    ours = 6770 - left
    usage = usage_of(state_of(2230 + ours), {Lane.STATUS: {LONG_AGO: ours}})
    assert (usage.share, usage.left, usage.reserve, usage.ours) == (6770, left, 1000, ours)
    assert usage.lowest_lane is lowest
    assert usage.paused == tuple(lane for lane in CALL_LANES if lowest is None or lane > lowest)
    assert usage.since == (LONG_AGO if lowest is Lane.BACKFILL else NOW)


def test_lane_leaves_what_the_lanes_above_used_in_the_last_hour_but_not_much_more_than_its_part() -> None:
    counts = {Lane.STATUS: {LONG_AGO: 2100, NOW: 1900}, Lane.NEW: {NOW: 100}}
    usage = usage_of(state_of(8100), counts)
    assert (usage.left, usage.share) == (900, 5000)
    assert usage.lowest_lane is Lane.NEW  # the lane profile leaves 1,050
    assert usage_of(state_of(8100), {Lane.STATUS: {LONG_AGO: 4100}}).lowest_lane is Lane.PROFILE
    much = {Lane.STATUS: {LONG_AGO: 100, NOW: 2900}}
    assert usage_of(state_of(7000), much).lowest_lane is Lane.BACKFILL  # 2,000 are left


def test_lane_that_pauses_for_the_lanes_above_goes_on_when_they_call_less_often() -> None:
    counts = {Lane.STATUS: {LONG_AGO: 2600, NOW: 1200}, Lane.NEW: {}}
    usage = usage_of(state_of(8000, lowest=Lane.STATUS), counts)
    assert (usage.share, usage.left, usage.lowest_lane) == (4800, 1000, Lane.NEW)
    assert usage.resumes_at == LONG_AGO + timedelta(days=1)  # for the lane profile too few are left, whatever is called
    fewer = {Lane.STATUS: {LONG_AGO: 3050, NOW: 1150}}
    paused = state_of(8400, lowest=Lane.STATUS)
    usage = usage_of(paused, fewer)
    assert (usage.share, usage.left, usage.lowest_lane) == (4800, 600, Lane.STATUS)
    assert usage.resumes_at is not None
    # Of 1,150 calls an hour, as many as are left beside the looks and the room to go on: in the hour after this one.
    assert NOW + HOUR < usage.resumes_at < NOW + 2 * HOUR
    sooner = estimate(paused, fewer, usage.resumes_at - timedelta(minutes=1), BudgetPolicy())
    later = estimate(paused, fewer, usage.resumes_at + timedelta(minutes=1), BudgetPolicy())
    assert sooner.lowest_lane is Lane.STATUS
    assert later.lowest_lane is not Lane.STATUS


def test_paused_lane_goes_on_when_more_is_free_than_where_it_paused() -> None:
    ours = {Lane.BACKFILL: {LONG_AGO: 6000}}
    assert usage_of(state_of(6000, lowest=Lane.PROFILE), ours).lowest_lane is Lane.PROFILE  # 3,000 of 9,000 are left
    assert usage_of(state_of(6000), ours).lowest_lane is Lane.BACKFILL
    fewer = {Lane.BACKFILL: {LONG_AGO: 5700}}
    assert usage_of(state_of(5700, lowest=Lane.PROFILE), fewer).lowest_lane is Lane.BACKFILL


def test_own_cap_limits_us_where_the_org_allows_more_or_says_nothing() -> None:
    policy = BudgetPolicy(most_per_day=100)
    counts = {Lane.PROFILE: {LONG_AGO: 80}}
    for state in (state_of(80), BudgetState()):
        usage = usage_of(state, counts, policy)
        assert (usage.share, usage.left, usage.lowest_lane) == (100, 20, Lane.PROFILE)
        message, hint = describe_pause(usage)
        assert "80 of the 100 calls of CONNECTOR_BUDGET__MOST_CALLS_PER_DAY are made" in message
        assert "raise CONNECTOR_BUDGET__MOST_CALLS_PER_DAY" in hint
    assert usage_of(state_of(9000), counts, policy).left == 0  # the org's limit is nearer


def test_nothing_limits_us_as_long_as_the_org_says_nothing() -> None:
    usage = usage_of(BudgetState(), {Lane.BACKFILL: {NOW: 5000}})
    assert (usage.left, usage.share, usage.runs_out_at, usage.paused) == (None, None, None, ())


def test_pause_says_why_until_when_and_what_to_do() -> None:
    counts = {Lane.STATUS: {LONG_AGO - 4 * HOUR: 2000, LONG_AGO: 4000}}
    usage = usage_of(state_of(9000), counts)
    assert usage.resumes_at == LONG_AGO - 4 * HOUR + timedelta(days=1)
    assert describe_pause(usage) == (
        "All calls pause, to save the API budget: 9,000 of the org's 10,000 API calls of 24 hours are used, and 1,000"
        " are reserved for its other apps.",
        "Nothing is lost: a running service goes on by itself at about 2026-03-05 22:00 UTC, with the lane urgent"
        " first. To go on now, lower CONNECTOR_BUDGET__RESERVE_PERCENT, or have the org's API limit raised.",
    )
    some = usage_of(state_of(8000), {Lane.STATUS: {LONG_AGO: 7000}})
    assert some.paused == (Lane.PROFILE, Lane.BACKFILL)
    assert describe_pause(some)[0].startswith("Calls of the lanes profile and backfill pause, to save the API budget: ")
    assert "with the lane profile first" in describe_pause(some)[1]
    of_others = usage_of(state_of(9000), {})
    assert of_others.resumes_at is None
    assert "by itself when calls are free again, with the lane urgent first." in describe_pause(of_others)[1]


def test_forecast_counts_the_calls_that_come_back() -> None:
    assert end_of_room(100, 50, NOW) == NOW + 2 * HOUR
    assert end_of_room(100, 4, NOW) is None
    assert end_of_room(0, 1, NOW) == NOW
    assert end_of_room(0, 0, NOW) is None
    back = {NOW - 23 * HOUR: 100}  # free again in an hour
    assert end_of_room(100, 50, NOW, back) == NOW + 4 * HOUR
    assert end_of_room(100, 120, NOW, back) == NOW + HOUR * (100 / 120)
    assert time_of_room(0, 50, NOW, back) == NOW + HOUR
    assert time_of_room(0, 100, NOW, back) is None
    assert time_of_rate({NOW: 100}, 25, NOW) == NOW + HOUR * 1.75
    assert time_of_rate({NOW: 10, NOW - HOUR: 60}, 40, NOW) == NOW + HOUR / 2
    assert time_of_rate({NOW: 10}, 40, NOW) == NOW
    assert rate_per_hour({NOW: 10, NOW - HOUR: 60}, NOW + HOUR / 4) == 10 + 45


@given(
    used=st.integers(0, 12_000),
    counts=st.dictionaries(
        st.sampled_from(CALL_LANES),
        st.dictionaries(st.integers(0, 30).map(lambda n: hour_of(NOW) - n * HOUR), st.integers(0, 4000)),
    ),
    lowest=st.sampled_from([None, *CALL_LANES]),
    policy=st.builds(BudgetPolicy, reserve_percent=st.floats(0, 90), most_per_day=st.sampled_from([0, 1, 50, 5000])),
)
def test_no_lane_calls_while_a_higher_one_pauses_and_none_within_the_reserve(
    used: int, counts: Counts, lowest: Lane | None, policy: BudgetPolicy
) -> None:
    state = state_of(used, lowest=lowest)
    usage = usage_of(state, counts, policy)
    assert usage.reserve is not None
    if used >= 10_000 - usage.reserve or (policy.most_per_day and usage.ours >= policy.most_per_day):
        assert usage.lowest_lane is None
    if usage.lowest_lane is None:
        assert usage.paused == CALL_LANES
    again = usage_of(replace(state, lowest_lane=usage.lowest_lane), counts, policy)
    assert again.lowest_lane == usage.lowest_lane  # what was decided stays, as long as nothing changes


def test_deprioritized_changes_are_sent_in_the_lane_of_a_backfill() -> None:
    assert [call_lane(number) for number in (-1, 0, 3, 4, 27)] == [
        Lane.URGENT, Lane.STATUS, Lane.BACKFILL, Lane.BACKFILL, Lane.BACKFILL,
    ]  # fmt: skip


def test_fewer_calls_are_left_the_longer_changes_are_collected() -> None:
    pauses = [PAUSE_BETWEEN_PUSHES.get(lane, 0) for lane in (*reversed(CALL_LANES), None)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[1]) == (0, 1)
