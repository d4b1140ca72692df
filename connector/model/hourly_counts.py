"""Counts by the hour, of what an org limits in any 24 hours: calls of its API, deliveries of events. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

HourlyCounts = Mapping[datetime, int]
"""Counts by the beginning of their hour."""


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def count_of_day(counts: HourlyCounts, now: datetime) -> int:
    """What was counted in the last 24 hours: an hour is left out when it began that long ago."""
    return sum(number for hour, number in counts.items() if hour > now - DAY)


def rate_per_hour(counts: HourlyCounts, now: datetime) -> float:
    """The count of this hour, and of the last one the part that lies within the last 60 minutes."""
    hour = hour_of(now)
    passed = (now - hour) / HOUR
    return counts.get(hour, 0) + counts.get(hour - HOUR, 0) * (1 - passed)


def is_rate_known(counts: HourlyCounts, now: datetime, since: datetime | None = None) -> bool:
    """Whether the rate of the last hour can be told: it was counted for an hour, or at least from the end of the last
    one on for half of it. `since`: when counting began, if that is known."""
    if since is not None and now - since >= HOUR:
        return True
    hour = hour_of(now)
    earliest = min((at for at, number in counts.items() if number), default=hour)
    return earliest < hour - HOUR or (earliest == hour - HOUR and now - hour >= HOUR / 2)


def time_of_rate(counts: HourlyCounts, wanted: float, now: datetime) -> datetime:
    """When the rate per hour has fallen to `wanted`, if nothing is counted until then."""
    hour = hour_of(now)
    this, last = counts.get(hour, 0), counts.get(hour - HOUR, 0)
    if this > wanted:
        return hour + HOUR + HOUR * (1 - max(wanted, 0) / this)
    return max(now, hour + HOUR * (1 - (wanted - this) / last)) if last else now


def end_of_room(left: float, per_hour: float, now: datetime, returns: HourlyCounts | None = None) -> datetime | None:
    """When `left` is used up at this rate; None if not within 24 hours. `returns`: what was counted in an hour, and
    can be used again when that hour began 24 hours ago."""
    moment, end = now, now + DAY
    steps = sorted((hour + DAY, number) for hour, number in (returns or {}).items() if now < hour + DAY < end)
    for step, returned in [*steps, (end, 0)]:
        used = per_hour * ((step - moment) / HOUR)
        if used and used >= left:
            return moment + HOUR * (left / per_hour)
        left, moment = left - used + returned, step
    return None


def time_of_room(left: float, wanted: float, now: datetime, returns: HourlyCounts) -> datetime | None:
    """When more than `wanted` is left, if nothing is used until then; None if `returns` does not suffice."""
    for hour, number in sorted(returns.items()):
        if hour + DAY <= now:
            continue
        left += number
        if left > wanted:
            return hour + DAY
    return None
