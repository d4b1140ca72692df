"""The budget of API calls: what an org allows in any 24 hours, how much of it is ours, and which lanes may still call.

The limit is the whole org's (REST API developer guide, "API Request Limits and Allocations"): a reserve is left to its
other apps, and what these used in the last 24 hours is not ours either. Each lane leaves room for those above it:

    urgent, status    call until the reserve, but for a few looks at the limit
    new               leaves 5 % of our share, or as many calls as the lanes above made in the last hour, up to 10 %
    profile           15 %, likewise up to 20 %
    backfill          30 %, likewise up to 35 %

So the lowest lane pauses first, then the next one. A paused lane goes on when a further 5 % are free: in batches, not
with each call that the window gives back. PURE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.model.hourly_counts import (
    HourlyCounts,
    count_of_day,
    end_of_room,
    is_rate_known,
    rate_per_hour,
    time_of_rate,
    time_of_room,
)
from connector.model.lane import CALL_LANES, Lane

KEPT_SHARE: Mapping[Lane, float] = {Lane.NEW: 0.05, Lane.PROFILE: 0.15, Lane.BACKFILL: 0.3}
"""The part of our share that a lane leaves to those above it."""
MOST_KEPT_FOR_RATE = 0.05
"""The further part of our share that is left at most because lanes above call often: an hour in which a lot is pulled
does not pause new orders while much is left."""
ROOM_TO_RESUME = 0.05
"""The part of our share that must be free beyond that before a paused lane goes on."""
LOOKS = 96
"""Calls that no lane uses: while everything pauses, the org is asked every 15 minutes how much it allows."""
LOOKS_SHARE = 0.01
"""But not more than this part of our share."""

PAUSE_BETWEEN_PUSHES: Mapping[Lane | None, float] = {
    Lane.PROFILE: 1.0,
    Lane.NEW: 2.0,
    Lane.STATUS: 5.0,
    Lane.URGENT: 5.0,
    None: 5.0,
}
"""For how many seconds a service collects changes before it pushes, by the lowest lane that calls: the less is left,
the fuller the calls, because one with many records counts no more than one with few."""

LaneCounts = Mapping[Lane, HourlyCounts]


class CallResult(StrEnum):
    """What became of a call. `limit`: refused, because the org's calls of 24 hours are used up."""

    ANSWERED = "answered"
    REFUSED = "refused"
    LIMIT = "limit"
    FAILED = "failed"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiLimit:
    """What the org said: calls `used` in 24 hours by all its apps, and `allowed`."""

    used: int
    allowed: int
    observed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetPolicy:
    """`reserve_percent` of the org's limit are left to its other apps. `most_per_day`: calls that we may make in 24
    hours; 0: what the org allows."""

    reserve_percent: float = 10
    most_per_day: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetState:
    """Which lanes call: those down to `lowest_lane`, or none, since `since`. `limit`: what the org last said; None if
    it has said nothing yet."""

    lowest_lane: Lane | None = Lane.BACKFILL
    since: datetime | None = None
    limit: ApiLimit | None = None

    def allows(self, lane: Lane) -> bool:
        return self.lowest_lane is not None and lane <= self.lowest_lane


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetUsage:
    """Where the budget stands. `used`, `allowed` and `reserve` are the whole org's, None if unknown. `ours`, `by_lane`
    and `per_hour` are our own counts, of 24 hours and of the last one; `most_per_day` is our own cap, if there is one.

    `share`: what we may use in 24 hours, and `left` of it, None if nothing limits us; `runs_out_at`: when it is used up
    at the present rate, None if not within 24 hours; `rate_known`: whether that was counted for long enough. Lanes down
    to `lowest_lane` call; `resumes_at`: when the next lower one goes on, as far as calls of our own decide it.
    """

    used: int | None
    allowed: int | None
    reserve: int | None
    most_per_day: int | None
    ours: int
    by_lane: Mapping[Lane, int]
    per_hour: float
    share: int | None
    left: int | None
    runs_out_at: datetime | None
    rate_known: bool
    lowest_lane: Lane | None
    since: datetime | None
    resumes_at: datetime | None
    observed_at: datetime | None

    @property
    def paused(self) -> tuple[Lane, ...]:
        """The lanes that make no calls, the most urgent first."""
        return tuple(lane for lane in CALL_LANES if self.lowest_lane is None or lane > self.lowest_lane)


def estimate(state: BudgetState, counts: LaneCounts, now: datetime, policy: BudgetPolicy) -> BudgetUsage:
    """Where the budget stands at `now`. `counts`: our own calls by lane, and by the hour in which they were made."""
    by_lane = {lane: count_of_day(counts.get(lane, {}), now) for lane in CALL_LANES}
    all_lanes = _sum(counts)
    ours, per_hour = sum(by_lane.values()), rate_per_hour(all_lanes, now)
    limit = state.limit
    reserve = None if limit is None else round(limit.allowed * policy.reserve_percent / 100)
    share = _share(limit, reserve, ours, policy)
    left = None if share is None else share - ours
    lowest: Lane | None = Lane.BACKFILL
    resumes_at = None
    if share is not None and left is not None:
        lowest, resumes_at = _lowest_lane(state, counts, now, share, left, all_lanes)
    return BudgetUsage(
        used=None if limit is None else limit.used,
        allowed=None if limit is None else limit.allowed,
        reserve=reserve,
        most_per_day=policy.most_per_day or None,
        ours=ours,
        by_lane=by_lane,
        per_hour=round(per_hour, 1),
        share=None if share is None else max(share, 0),
        left=None if left is None else max(left, 0),
        runs_out_at=None if left is None else end_of_room(max(left, 0), per_hour, now, all_lanes),
        rate_known=is_rate_known(all_lanes, now),
        lowest_lane=lowest,
        since=state.since if lowest == state.lowest_lane else now,
        resumes_at=resumes_at,
        observed_at=None if limit is None else limit.observed_at,
    )


def describe_pause(usage: BudgetUsage) -> tuple[str, str]:
    """Which calls are not made now and why, and what to do: two sentences for a person."""
    *others, last = [lane.word for lane in usage.paused or CALL_LANES[-1:]]
    what = f"Calls of the lanes {', '.join(others)} and {last} pause" if others else f"Calls of the lane {last} pause"
    if usage.lowest_lane is None:
        what = "All calls pause"
    cap = usage.most_per_day
    is_own = cap is not None and (usage.used is None or usage.share == cap)
    if is_own:
        numbers = f"{usage.ours:,} of the {cap:,} calls of CONNECTOR_BUDGET__MOST_CALLS_PER_DAY are made"
        change = "raise CONNECTOR_BUDGET__MOST_CALLS_PER_DAY"
    else:
        numbers = (
            f"{usage.used or 0:,} of the org's {usage.allowed or 0:,} API calls of 24 hours are used, and"
            f" {usage.reserve or 0:,} are reserved for its other apps"
        )
        change = "lower CONNECTOR_BUDGET__RESERVE_PERCENT, or have the org's API limit raised"
    when = (
        "when calls are free again" if usage.resumes_at is None else f"at about {usage.resumes_at:%Y-%m-%d %H:%M} UTC"
    )
    when += f", with the lane {others[0]} first" if others else ""
    return (
        f"{what}, to save the API budget: {numbers}.",
        f"Nothing is lost: a running service goes on by itself {when}. To go on now, {change}.",
    )


def _share(limit: ApiLimit | None, reserve: int | None, ours: int, policy: BudgetPolicy) -> int | None:
    """What we may use in 24 hours: what the org allows without the reserve and what its other apps use, or our cap."""
    shares = []
    if limit is not None and reserve is not None:
        shares.append(limit.allowed - reserve - max(limit.used - ours, 0))
    if policy.most_per_day:
        shares.append(policy.most_per_day)
    return min(shares) if shares else None


def _lowest_lane(
    state: BudgetState, counts: LaneCounts, now: datetime, share: int, left: int, all_lanes: HourlyCounts
) -> tuple[Lane | None, datetime | None]:
    """The lowest lane that may call, and when the next lower one may."""
    ours = max(share, 0)
    looks = min(LOOKS, int(ours * LOOKS_SHARE))
    lowest, above = None, 0.0
    for place, lane in enumerate(CALL_LANES):
        part = KEPT_SHARE.get(lane, 0) * ours
        for_rate = min(max(above - part, 0), MOST_KEPT_FOR_RATE * ours) if part else 0
        kept, room = looks + part, ROOM_TO_RESUME * ours
        if left <= kept + for_rate + (0 if state.allows(lane) else room):
            at = [time_of_room(left, kept + room + for_rate, now, all_lanes)]
            if for_rate:
                at.append(_time_of_quiet(left - kept - room, part, now, counts, CALL_LANES[:place], all_lanes))
            return lowest, min((moment for moment in at if moment is not None), default=None)
        lowest = lane
        above += rate_per_hour(counts.get(lane, {}), now)
    return lowest, None


def _time_of_quiet(
    free: float, part: float, now: datetime, counts: LaneCounts, above: Sequence[Lane], all_lanes: HourlyCounts
) -> datetime | None:
    """When a lane goes on because the lanes above it call less often, if more than nothing is `free` by then."""
    begins = now if free > 0 else time_of_room(free, 0, now, all_lanes)
    quiet = time_of_rate(_sum({lane: counts.get(lane, {}) for lane in above}), part + max(free, 0), now)
    return None if begins is None else max(begins, quiet)


def _sum(counts: LaneCounts) -> dict[datetime, int]:
    total: dict[datetime, int] = {}
    for by_hour in counts.values():
        for hour, number in by_hour.items():
            total[hour] = total.get(hour, 0) + number
    return total
