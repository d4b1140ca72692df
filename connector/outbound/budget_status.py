"""Where the API budget stands, as the database says: for `connector status`, the HTTP API and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.model.api_budget import BudgetPolicy, describe_pause
from connector.store import api_calls, outbox_counts
from connector.store.engine import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetStatus:
    """The org's API calls of 24 hours: `used` by all its apps, `allowed`, and in `reserve` for the others; None as long
    as the org has said nothing. `ours` is our part, `by_lane` and in the last hour `per_hour`.

    `share`: what we may use in 24 hours, and `left` of it; None if nothing limits us. `runs_out_at`: when it is used up
    at the present rate, None if not within 24 hours; `rate_known`: whether that was counted for long enough. `paused`
    lanes make no calls since `since`, for `reason`; `resumes_at`: when the first of them goes on, as far as calls of
    our own decide it. `waiting`: changes that wait for that, by lane.
    """

    used: int | None
    allowed: int | None
    reserve: int | None
    most_per_day: int | None
    observed_at: datetime | None
    ours: int
    by_lane: Mapping[str, int]
    per_hour: float
    share: int | None
    left: int | None
    runs_out_at: datetime | None
    rate_known: bool
    paused: tuple[str, ...]
    since: datetime | None
    resumes_at: datetime | None
    reason: str | None
    waiting: Mapping[str, int]


async def load_budget_status(
    connection: Connection, org_id: str | None, now: datetime, policy: BudgetPolicy
) -> BudgetStatus | None:
    """`org_id` is the org that the database works with; None if there is none yet. Some seconds behind."""
    if org_id is None:
        return None
    usage = await api_calls.usage(connection, org_id, now, policy)
    paused = usage.paused
    waiting = await outbox_counts.count_below(connection, usage.lowest_lane) if paused else {}
    return BudgetStatus(
        used=usage.used,
        allowed=usage.allowed,
        reserve=usage.reserve,
        most_per_day=usage.most_per_day,
        observed_at=usage.observed_at,
        ours=usage.ours,
        by_lane={lane.word: number for lane, number in usage.by_lane.items()},
        per_hour=usage.per_hour,
        share=usage.share,
        left=usage.left,
        runs_out_at=usage.runs_out_at,
        rate_known=usage.rate_known,
        paused=tuple(lane.word for lane in paused),
        since=usage.since if paused else None,
        resumes_at=usage.resumes_at,
        reason=" ".join(describe_pause(usage)) if paused else None,
        waiting={lane.word: count for lane, count in waiting.items()},
    )
