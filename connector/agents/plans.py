"""Plans that were shown and may be carried out: for a while, once. PURE."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from connector.errors import ConnectorError

LASTS = timedelta(minutes=10)
MOST_KEPT = 100
MOST_COVERED = 1000
"""How many entities one plan may cover: what concerns more is for a person in the console."""


class PlanKind(StrEnum):
    REPLAY = "replay"
    RESYNC = "resync"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`request` is what was asked for, `covered` what that meant when it was shown, one text for each entity."""

    id: str
    kind: PlanKind
    request: Mapping[str, object]
    covered: Sequence[str]
    made_at: datetime

    @property
    def expires_at(self) -> datetime:
        return self.made_at + LASTS


class PlanBook:
    """The plans of one agent. `make_id` makes what nobody can guess."""

    def __init__(self, now: Callable[[], datetime], make_id: Callable[[], str]) -> None:
        self._now = now
        self._make_id = make_id
        self._plans: dict[str, Plan] = {}

    def add(self, kind: PlanKind, request: Mapping[str, object], covered: Sequence[str]) -> Plan:
        """Keep a new plan. Raises ConnectorError if it covers nothing, or too much."""
        if not covered:
            raise ConnectorError("This plan would cover nothing.", hint="Look at what there is, and plan again.")
        if len(covered) > MOST_COVERED:
            raise ConnectorError(
                f"This plan would cover {len(covered):,}; a plan covers at most {MOST_COVERED:,}.",
                hint="Narrow it, or ask a person to do it in the console.",
            )
        plan = Plan(id=self._make_id(), kind=kind, request=request, covered=tuple(covered), made_at=self._now())
        self._plans[plan.id] = plan
        while len(self._plans) > MOST_KEPT:
            del self._plans[next(iter(self._plans))]
        return plan

    def take(self, plan_id: str, kind: PlanKind) -> Plan:
        """Use a plan up, and return it. Raises ConnectorError if it cannot be used."""
        plan = self._plans.get(plan_id)
        again = f"Make one with plan_{kind}, and look at it before you use it."
        if plan is None:
            raise ConnectorError("There is no such plan: it was used, is too old, or was never made.", hint=again)
        if plan.kind is not kind:
            raise ConnectorError(f"This is the plan of a {plan.kind}, not of a {kind}.", hint=f"Use {plan.kind}.")
        del self._plans[plan_id]
        if self._now() >= plan.expires_at:
            raise ConnectorError("This plan has expired: plans last ten minutes.", hint=again)
        return plan


def check_unchanged(plan: Plan, covered: Sequence[str]) -> None:
    """Raise ConnectorError if a plan means something else by now."""
    before, now = set(plan.covered), set(covered)
    if before != now:
        more, gone = len(now - before), len(before - now)
        raise ConnectorError(
            f"What this plan covers has changed since it was shown: {more:,} more, {gone:,} fewer. Nothing was done.",
            hint=f"Make a new plan with plan_{plan.kind}.",
        )
