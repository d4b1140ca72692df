"""Events of many orders at once; `store.order_history` reads and writes those of one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import orjson
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.actions import EventKind
from connector.model.events import Event
from connector.store.access_tables import tokens
from connector.store.order_history import read_event
from connector.store.sql import select_in
from connector.store.tables import order_events

_EVENTS = (
    select(order_events.c.order_number, order_events.c.event, order_events.c.detail)
    .where(order_events.c.event.in_(bindparam("the_kinds", expanding=True)))
    .order_by(order_events.c.order_number, order_events.c.sequence)
)


async def list_events(
    connection: AsyncConnection, numbers: Sequence[str], kinds: Collection[EventKind]
) -> list[tuple[str, Event]]:
    """Return (order number, event) of every event of these kinds, by order, oldest first."""
    names = [kind.value for kind in kinds]
    rows = await select_in(connection, _EVENTS, order_events.c.order_number, numbers, the_kinds=names)
    return [(number, read_event(EventKind(kind).action, orjson.loads(detail))) for number, kind, detail in rows]


async def list_orders_with_event(connection: AsyncConnection, kind: EventKind, since: datetime) -> set[str]:
    """Return the numbers of orders with an event of this kind at `since` or later."""
    row = order_events.c
    statement = select(row.order_number).where(row.event == kind.value, row.at >= since)
    return set((await connection.execute(statement)).scalars())


async def list_touched_by_people(connection: AsyncConnection, numbers: Sequence[str]) -> set[str]:
    """Return those of these orders of which an event was asked for by somebody who has a token."""
    row = order_events.c
    statement = select(row.order_number).distinct().join(tokens, tokens.c.name == row.actor)
    return {found.order_number for found in await select_in(connection, statement, row.order_number, numbers)}
