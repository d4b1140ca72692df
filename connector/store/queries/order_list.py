"""The list of orders as people look for them: the latest first, with filters that combine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, EntityKind
from connector.model.holds import Hold
from connector.model.stage import Stage
from connector.store.tables import customers, holds, orders, outbox

LAST = "\U0010ffff"
"""The character behind all others."""
Position = tuple[datetime, str]
"""Where a page begins: when its predecessor was placed, and its number."""


class SyncFilter(StrEnum):
    """`waiting`: a change is to be sent. `refused`: the org refused one, and it waits for a person."""

    WAITING = "waiting"
    REFUSED = "refused"


_STATES = {
    SyncFilter.WAITING: (ChangeState.DUE.value,),
    SyncFilter.REFUSED: (ChangeState.DEAD.value, ChangeState.BLOCKED.value),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderFilter:
    """Which orders: those that satisfy all that is given. `text`: the beginning of an order's number, a customer's
    number, or a part of its name. `on_hold`: for any reason; `hold`: for this one."""

    text: str | None = None
    stage: Stage | None = None
    on_hold: bool = False
    hold: Hold | None = None
    customer: str | None = None
    channel: str | None = None
    sync: SyncFilter | None = None


async def list_latest_orders(
    connection: AsyncConnection, chosen: OrderFilter, *, before: Position | None, limit: int
) -> list[tuple[str, datetime]]:
    """Return up to `limit` numbers and times of orders behind `before`, the one that was placed last first."""
    statement = select(orders.c.number, orders.c.placed_at).where(*_conditions(chosen))
    if before is not None:
        placed_at, number = before
        statement = statement.where(
            orders.c.placed_at <= placed_at, or_(orders.c.placed_at < placed_at, orders.c.number < number)
        )
    statement = statement.order_by(orders.c.placed_at.desc(), orders.c.number.desc()).limit(limit)
    return [(row.number, row.placed_at) for row in await connection.execute(statement)]


def _conditions(chosen: OrderFilter) -> Sequence[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if chosen.text is not None:
        # Databases differ in which letters they take for equal, so it is looked for as people would write it.
        text = chosen.text
        typed, written = {text, text.upper()}, {text, text.lower(), text.upper(), text.title()}
        parts = [customers.c.name.icontains(name, autoescape=True) for name in sorted(written)]
        named = select(customers.c.number).where(or_(customers.c.number.in_(typed), *parts))
        begins = [and_(orders.c.number >= start, orders.c.number < start + LAST) for start in sorted(typed)]
        conditions.append(or_(*begins, orders.c.customer.in_(named)))
    if chosen.stage is not None:
        conditions.append(orders.c.stage == chosen.stage.value)
    if chosen.on_hold or chosen.hold is not None:
        held = select(holds.c.order_number).where(holds.c.order_number == orders.c.number)
        if chosen.hold is not None:
            held = held.where(holds.c.reason == chosen.hold.value)
        conditions.append(held.exists())
    if chosen.customer is not None:
        conditions.append(orders.c.customer == chosen.customer)
    if chosen.channel is not None:
        conditions.append(orders.c.channel == chosen.channel)
    if chosen.sync is not None:
        unsent = and_(
            outbox.c.entity == EntityKind.ORDER.value,
            outbox.c.key == orders.c.number,
            outbox.c.state.in_(_STATES[chosen.sync]),
        )
        conditions.append(select(outbox.c.key).where(unsent).exists())
    return conditions
