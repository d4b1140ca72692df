"""Calls of the org's API that we have counted, by lane, result and hour, and the state of the budget.

All processes on a database share them. None writes with each call: it adds what it has counted every few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import bindparam, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.api_budget import ApiLimit, BudgetPolicy, BudgetState, BudgetUsage, CallResult, estimate
from connector.model.hourly_counts import DAY, HOUR
from connector.model.lane import Lane
from connector.settings.budget import BudgetSettings
from connector.store.budget_tables import api_budgets, api_calls
from connector.store.sql import insert_into, insert_missing, upsert
from connector.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

KEPT = timedelta(days=31)

CallCounts: TypeAlias = Mapping[tuple[datetime, Lane, CallResult], int]
"""Calls by hour, lane and result."""


def policy_of(settings: BudgetSettings) -> BudgetPolicy:
    return BudgetPolicy(reserve_percent=settings.reserve_percent, most_per_day=settings.most_calls_per_day)


async def add(uow: UnitOfWork, org_id: str, counts: CallCounts) -> None:
    """Add these calls to those that are stored, and delete what nobody needs any more."""
    if not counts:
        return
    rows = [
        {"org_id": org_id, "hour": hour, "lane": lane.value, "result": result.value, "calls": number}
        for (hour, lane, result), number in sorted(counts.items())
    ]
    await uow.connection.execute(_add_calls(uow.connection.dialect.name), rows)
    await uow.connection.execute(_DELETE_OLD, {"the_org": org_id, "the_hour": uow.now - KEPT})


_OF_ORG = api_calls.c.org_id == bindparam("the_org")
_DELETE_OLD = delete(api_calls).where(_OF_ORG, api_calls.c.hour < bindparam("the_hour"))
_COUNTS = select(api_calls).where(_OF_ORG, api_calls.c.hour > bindparam("the_hour"))


@cache
def _add_calls(dialect: str) -> sqlite.Insert | postgresql.Insert:
    statement = insert_into(api_calls, dialect)
    return statement.on_conflict_do_update(
        index_elements=["org_id", "hour", "lane", "result"],
        set_={"calls": api_calls.c.calls + statement.excluded.calls},
    )


async def counts(
    connection: AsyncConnection, org_id: str, now: datetime
) -> dict[tuple[datetime, Lane, CallResult], int]:
    """Our calls of the last 25 hours."""
    rows = await connection.execute(_COUNTS, {"the_org": org_id, "the_hour": now - DAY - HOUR})
    return {(row.hour, Lane(row.lane), CallResult(row.result)): row.calls for row in rows}


def by_lane(counts: CallCounts) -> dict[Lane, dict[datetime, int]]:
    """Calls by lane and hour, whatever their result."""
    lanes: dict[Lane, dict[datetime, int]] = {}
    for (hour, lane, _), number in counts.items():
        hours = lanes.setdefault(lane, {})
        hours[hour] = hours.get(hour, 0) + number
    return lanes


_BUDGET = select(api_budgets).where(api_budgets.c.org_id == bindparam("the_org"))
_LOCKED_BUDGET = _BUDGET.with_only_columns(api_budgets.c.org_id).with_for_update()


async def lock_state(uow: UnitOfWork, org_id: str) -> BudgetState:
    """The state of the budget, which no other process changes until the end of the transaction."""
    await insert_missing(uow.connection, api_budgets, [{"org_id": org_id, "lowest_lane": Lane.BACKFILL.value}])
    if not uow.is_alone:
        await uow.connection.execute(_LOCKED_BUDGET, {"the_org": org_id})
    return await get_state(uow.connection, org_id)


async def get_state(connection: AsyncConnection, org_id: str) -> BudgetState:
    """The state of the budget; every lane calls where nothing is stored."""
    row = (await connection.execute(_BUDGET, {"the_org": org_id})).first()
    if row is None:
        return BudgetState()
    limit = None
    if row.observed_at is not None:
        limit = ApiLimit(used=row.used, allowed=row.allowed, observed_at=row.observed_at)
    return BudgetState(
        lowest_lane=None if row.lowest_lane is None else Lane(row.lowest_lane), since=row.since, limit=limit
    )


async def put_state(uow: UnitOfWork, org_id: str, state: BudgetState) -> None:
    """Store the state of the budget."""
    limit = state.limit
    row = {
        "org_id": org_id,
        "lowest_lane": None if state.lowest_lane is None else state.lowest_lane.value,
        "since": state.since,
        "used": limit and limit.used,
        "allowed": limit and limit.allowed,
        "observed_at": limit and limit.observed_at,
    }
    await upsert(uow.connection, api_budgets, [row])


async def take_look(uow: UnitOfWork, org_id: str, every: timedelta) -> bool:
    """Whether this process is to ask the org now how much it allows: nobody has within `every`."""
    is_old = or_(api_budgets.c.looked_at.is_(None), api_budgets.c.looked_at <= uow.now - every)
    statement = update(api_budgets).where(api_budgets.c.org_id == org_id, is_old).values(looked_at=uow.now)
    return (await uow.connection.execute(statement)).rowcount == 1


async def usage(connection: AsyncConnection, org_id: str, now: datetime, policy: BudgetPolicy) -> BudgetUsage:
    """Where the budget stands, as far as it is stored: some seconds behind."""
    lanes = by_lane(await counts(connection, org_id, now))
    return estimate(await get_state(connection, org_id), lanes, now, policy)
