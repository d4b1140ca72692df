"""The list of orders as people look for them: the latest first, with filters that combine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.actions import EventKind
from connector.model.change import ChangeState, EntityKind
from connector.model.holds import Hold
from connector.model.shipments import ReturnReason
from connector.model.stage import OPEN, Stage
from connector.store.backorder_tables import waiting_lines
from connector.store.queries.typed_text import TypedText, typed_condition
from connector.store.tables import holds, links, order_events, order_lines, orders, outbox, returns

Position = tuple[datetime, str]
"""Where a page begins: when its predecessor was placed, and its number."""
UNDELIVERED = [stage.value for stage in (Stage.PLACED, *OPEN, Stage.SHIPPED)]


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
    """Which orders: those that satisfy all that is given. `text`: what was typed, see `typed_text`. `on_hold`: for any
    reason; `hold`: for this one. `placed_since` is inclusive, `placed_until` exclusive. `late_on`: not delivered, and
    promised for an earlier day than this. `backordered`: it waits for stock. `sku`: a line has this product.
    `returned`: a return has this reason. `held`: it was ever on hold for this. `left`: it has left this stage."""

    text: TypedText | None = None
    stage: Stage | None = None
    on_hold: bool = False
    hold: Hold | None = None
    customer: str | None = None
    channel: str | None = None
    sync: SyncFilter | None = None
    placed_since: datetime | None = None
    placed_until: datetime | None = None
    late_on: date | None = None
    backordered: bool = False
    sku: str | None = None
    returned: ReturnReason | None = None
    held: Hold | None = None
    left: Stage | None = None
    status: str | None = None
    org_ids: Sequence[str] = ()


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
        conditions.append(typed_condition(chosen.text))
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
    if chosen.status is not None:
        has_status = (links.c.org_id.in_(chosen.org_ids), links.c.status == chosen.status)
        conditions.append(select(links.c.key).where(*has_status, links.c.key == orders.c.number).exists())
    return [*conditions, *_desk_conditions(chosen)]


def _desk_conditions(chosen: OrderFilter) -> Sequence[ColumnElement[bool]]:
    """Those of an order desk: time, goods and returns."""
    conditions: list[ColumnElement[bool]] = []
    line = order_lines.c
    if chosen.placed_since is not None:
        conditions.append(orders.c.placed_at >= chosen.placed_since)
    if chosen.placed_until is not None:
        conditions.append(orders.c.placed_at < chosen.placed_until)
    if chosen.late_on is not None:
        conditions += [orders.c.promised_on < chosen.late_on, orders.c.stage.in_(UNDELIVERED)]
    if chosen.backordered:
        mine = select(waiting_lines.c.line).where(waiting_lines.c.order_number == orders.c.number)
        conditions.append(mine.exists())
    if chosen.sku is not None:
        mine = select(line.number).where(line.order_number == orders.c.number, line.sku == chosen.sku)
        conditions.append(mine.exists())
    if chosen.returned is not None:
        coming = (returns.c.order_number == orders.c.number, returns.c.reason == chosen.returned.value)
        conditions.append(select(returns.c.number).where(*coming).exists())
    return [*conditions, *_history_conditions(chosen)]


def _history_conditions(chosen: OrderFilter) -> Sequence[ColumnElement[bool]]:
    """Those of what has happened to an order."""
    event = order_events.c
    of_order = select(event.sequence).where(event.order_number == orders.c.number)
    conditions: list[ColumnElement[bool]] = []
    if chosen.held is not None:
        named = event.detail.contains(f'"hold":"{chosen.held.value}"')
        conditions.append(of_order.where(event.event == EventKind.HELD.value, named).exists())
    if chosen.left is not None:
        left = (event.stage_before == chosen.left.value, event.stage_after != chosen.left.value)
        conditions.append(of_order.where(*left).exists())
    return conditions
