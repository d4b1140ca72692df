"""Queries for holds across orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Integer, Select, and_, bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.holds import Hold
from connector.store.sql import select_in
from connector.store.tables import holds


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderHold:
    """A hold of an order; `rules` names the verification rules that placed it, if they did."""

    order_number: str
    reason: Hold
    since: datetime
    placed_by: str
    rules: str | None
    note: str | None
    escalated_at: datetime | None


async def list_holds(connection: AsyncConnection) -> list[OrderHold]:
    """Return all holds, oldest first."""
    statement = select(holds).order_by(holds.c.since, holds.c.order_number)
    return [_hold_of(row) for row in await connection.execute(statement)]


async def list_page(
    connection: AsyncConnection, *, reason: Hold | None = None, after: tuple[datetime, str, Hold] | None, limit: int
) -> list[OrderHold]:
    """Return holds, for one reason or any, behind `after` (since when, order, reason); the oldest first."""
    statement = select(holds).order_by(holds.c.since, holds.c.order_number, holds.c.reason).limit(limit)
    if reason is not None:
        statement = statement.where(holds.c.reason == reason.value)
    if after is not None:
        since, number, held = after
        row = holds.c
        same_order = and_(row.order_number == number, row.reason > held.value)
        statement = statement.where(
            or_(row.since > since, and_(row.since == since, or_(row.order_number > number, same_order)))
        )
    return [_hold_of(row) for row in await connection.execute(statement)]


async def count_by_reason(connection: AsyncConnection) -> dict[Hold, int]:
    """Return how many orders are on hold for each reason; without those of which there are none."""
    statement = select(holds.c.reason, func.count()).group_by(holds.c.reason)
    counts: dict[str, int] = {row[0]: row[1] for row in await connection.execute(statement)}
    return {hold: counts[hold] for hold in Hold if hold in counts}


_COUNT_ORDERS = select(func.count(func.distinct(holds.c.order_number)))


async def count_orders(connection: AsyncConnection) -> int:
    """Return how many orders are on hold."""
    return (await connection.execute(_COUNT_ORDERS)).scalar_one()


_HOLDS = select(holds)


async def load_holds(connection: AsyncConnection, numbers: Sequence[str]) -> dict[tuple[str, Hold], OrderHold]:
    """Return the holds of these orders, by order number and reason."""
    rows = await select_in(connection, _HOLDS, holds.c.order_number, numbers)
    items = [_hold_of(row) for row in rows]
    return {(hold.order_number, hold.reason): hold for hold in items}


async def list_orders_to_escalate(
    connection: AsyncConnection,
    reason: Hold,
    placed_before: datetime,
    *,
    numbers: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[str]:
    """Return the orders that have been on hold for `reason` since `placed_before` or longer and were not escalated,
    oldest hold first; if `numbers` is given, only of these."""
    values = {"the_reason": reason.value, "the_time": placed_before, "the_numbers": numbers, "the_limit": limit}
    statement = _to_escalate(numbers is not None, limit is not None)
    return list((await connection.execute(statement, values)).scalars())


@cache
def _to_escalate(has_numbers: bool, has_limit: bool) -> Select[Any]:
    statement = (
        select(holds.c.order_number)
        .where(holds.c.reason == bindparam("the_reason"), holds.c.escalated_at.is_(None))
        .where(holds.c.since <= bindparam("the_time"))
        .order_by(holds.c.since, holds.c.order_number)
    )
    if has_numbers:
        statement = statement.where(holds.c.order_number.in_(bindparam("the_numbers", expanding=True)))
    return statement.limit(bindparam("the_limit", type_=Integer)) if has_limit else statement


def _hold_of(row: Any) -> OrderHold:
    return OrderHold(**{**row._mapping, "reason": Hold(row.reason)})
