"""The delivery allowance: what is used, how long the rest lasts, when a topic is polled and streamed again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from connector.model.deliveries import (
    DeliveryLimit,
    DeliveryPolicy,
    TopicState,
    estimate,
    may_resume,
    next_midnight,
)
from connector.model.hourly_counts import hour_of, is_rate_known

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = DeliveryPolicy(reserve_percent=10)


def state(used: int, *, counted_in_hour: int = 0, at: datetime = NOW) -> TopicState:
    limit = DeliveryLimit(used=used, allowed=25_000, observed_at=at, counted_in_hour=counted_in_hour)
    return TopicState(topic="/data/X", limit=limit)


def test_own_counts_since_the_orgs_figures_are_added() -> None:
    counts = {hour_of(NOW): 300, hour_of(NOW) - HOUR: 50}
    usage = estimate(state(5_000, counted_in_hour=100), counts, NOW, POLICY)
    assert (usage.used, usage.left) == (5_200, 22_500 - 5_200)
    earlier = state(5_000, counted_in_hour=20, at=NOW - HOUR)
    assert estimate(earlier, counts, NOW, POLICY).used == 5_330
    assert estimate(state(0, counted_in_hour=300), counts, NOW, POLICY).used == 350  # the org's figures lag


def test_counts_are_those_of_today_of_24_hours_and_of_the_last_60_minutes() -> None:
    counts = {hour_of(NOW): 100, hour_of(NOW) - HOUR: 60, hour_of(NOW) - 13 * HOUR: 7, hour_of(NOW) - 25 * HOUR: 1_000}
    usage = estimate(state(0), counts, NOW, POLICY)
    assert (usage.today, usage.last_24_hours, usage.per_hour) == (160, 167, 130)


def test_forecast_names_when_the_rest_is_used_up_at_the_present_rate() -> None:
    counts = {hour_of(NOW): 1_000}
    usage = estimate(state(20_500, counted_in_hour=1_000), counts, NOW, POLICY)
    assert (usage.left, usage.runs_out_at) == (2_000, NOW + 2 * HOUR)
    assert not usage.is_used_up
    quiet = estimate(state(20_500), {hour_of(NOW): 10}, NOW, POLICY)
    assert quiet.runs_out_at is None


def test_rate_is_known_once_an_hour_was_counted() -> None:
    hour, minute = hour_of(NOW), HOUR / 60
    begun_now, begun_before = {hour: 1_000}, {hour: 1_000, hour - HOUR: 5}
    assert not is_rate_known(begun_now, hour + 59 * minute)
    assert not is_rate_known(begun_before, hour + 29 * minute)
    assert is_rate_known(begun_before, hour + 30 * minute)
    assert is_rate_known({hour - 2 * HOUR: 1}, hour)
    assert not is_rate_known({}, NOW, NOW - 59 * minute)
    assert is_rate_known({}, NOW, NOW - HOUR)
    assert not estimate(state(0), begun_now, NOW, POLICY).rate_known


def test_topic_is_used_up_at_the_reserve_or_at_its_own_limit() -> None:
    assert estimate(state(22_500), {}, NOW, POLICY).is_used_up
    assert not estimate(state(22_499), {}, NOW, POLICY).is_used_up
    capped = replace(POLICY, most_per_day=100)
    assert estimate(state(0), {hour_of(NOW): 100}, NOW, capped).is_used_up
    unknown = TopicState(topic="/data/X")
    assert estimate(unknown, {hour_of(NOW): 100}, NOW, capped).is_used_up
    assert estimate(unknown, {hour_of(NOW): 10**6}, NOW, POLICY).left is None


def test_polled_topic_resumes_only_with_room() -> None:
    assert not may_resume(estimate(state(22_000), {}, NOW, POLICY), POLICY)
    assert may_resume(estimate(state(17_500), {}, NOW, POLICY), POLICY)
    assert may_resume(estimate(TopicState(topic="/data/X"), {}, NOW, POLICY), POLICY)
    capped = replace(POLICY, most_per_day=100)
    assert not may_resume(estimate(state(0), {hour_of(NOW): 90}, NOW, capped), capped)
    assert may_resume(estimate(state(0), {hour_of(NOW): 80}, NOW, capped), capped)


def test_next_midnight() -> None:
    assert next_midnight(NOW) == datetime(2026, 3, 2, tzinfo=UTC)
    assert next_midnight(datetime(2026, 3, 2, tzinfo=UTC)) == datetime(2026, 3, 3, tzinfo=UTC)
