"""The org's allowance of event deliveries: what a topic has used, how long the rest lasts, and when to poll instead.

An org delivers a limited number of events in 24 hours, to all its subscribers together (Platform Events developer
guide, "Platform Event Allocations"). The org's own figures lag by some minutes, so our own counts are added. A topic
whose share is used up, but for a reserve, is polled until midnight (UTC), and longer if the org has still no room then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.model.hourly_counts import DAY, count_of_day, end_of_room, hour_of, is_rate_known, rate_per_hour

ROOM_TO_RESUME = 0.2
"""A polled topic is streamed again when this share of the allowance is free: else it would soon be polled again."""


class DeliveryMode(StrEnum):
    """How the changes of a topic arrive."""

    STREAM = "stream"
    POLL = "poll"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryLimit:
    """What the org said of its allowance: deliveries `used` in 24 hours by all subscribers, and `allowed`.
    `counted_in_hour`: how many we had counted in the hour of `observed_at` by then."""

    used: int
    allowed: int
    observed_at: datetime
    counted_in_hour: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicState:
    """How a topic is received since `since`; a polled one is looked at again at `resume_at`. `limit`: what the org last
    said; None if it says nothing."""

    topic: str
    mode: DeliveryMode = DeliveryMode.STREAM
    since: datetime | None = None
    resume_at: datetime | None = None
    limit: DeliveryLimit | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryPolicy:
    """`reserve_percent` of the org's allowance are left to others. `most_per_day`: deliveries that the topic may use in
    24 hours; 0: what the org allows."""

    reserve_percent: float = 10
    most_per_day: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryUsage:
    """Where a topic stands. `today`, `last_24_hours` and `per_hour` are our own counts; `used` and `allowed` are those
    of the whole org, None if unknown. `left`: deliveries until the topic is polled; `runs_out_at`: when that will be at
    the present rate, None if not within 24 hours. `rate_known`: whether that rate was counted for long enough."""

    topic: str
    mode: DeliveryMode
    resume_at: datetime | None
    today: int
    last_24_hours: int
    per_hour: float
    used: int | None
    allowed: int | None
    left: int | None
    runs_out_at: datetime | None
    rate_known: bool = True

    @property
    def is_used_up(self) -> bool:
        """Whether the topic must be polled."""
        return self.left is not None and self.left <= 0


def next_midnight(moment: datetime) -> datetime:
    """The next midnight, in the time zone of `moment`."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) + DAY


def estimate(state: TopicState, counts: Mapping[datetime, int], now: datetime, policy: DeliveryPolicy) -> DeliveryUsage:
    """Where the topic stands at `now`. `counts`: our own deliveries by the hour in which they came."""
    last_24_hours = count_of_day(counts, now)
    used, allowed = _used_in_org(state.limit, counts, last_24_hours)
    rooms = []
    if used is not None and allowed is not None:
        rooms.append(int(allowed * (1 - policy.reserve_percent / 100)) - used)
    if policy.most_per_day:
        rooms.append(policy.most_per_day - last_24_hours)
    left = max(min(rooms), 0) if rooms else None
    per_hour = rate_per_hour(counts, now)
    return DeliveryUsage(
        topic=state.topic,
        mode=state.mode,
        resume_at=state.resume_at,
        today=sum(number for hour, number in counts.items() if hour >= next_midnight(now) - DAY),
        last_24_hours=last_24_hours,
        per_hour=round(per_hour, 1),
        used=used,
        allowed=allowed,
        left=left,
        runs_out_at=None if left is None else end_of_room(left, per_hour, now),
        rate_known=is_rate_known(counts, now, state.since),
    )


def may_resume(usage: DeliveryUsage, policy: DeliveryPolicy) -> bool:
    """Whether a polled topic has room enough to be streamed again."""
    most = policy.most_per_day or usage.allowed
    if usage.left is None or most is None:
        return True
    return usage.left >= ROOM_TO_RESUME * min(most, usage.allowed or most)


def _used_in_org(
    limit: DeliveryLimit | None, counts: Mapping[datetime, int], last_24_hours: int
) -> tuple[int | None, int | None]:
    """What the org said, and what we have counted since; at least what we have counted in 24 hours."""
    if limit is None:
        return None, None
    hour = hour_of(limit.observed_at)
    since = sum(number for at, number in counts.items() if at >= hour) - limit.counted_in_hour
    return max(limit.used + max(since, 0), last_24_hours), limit.allowed
