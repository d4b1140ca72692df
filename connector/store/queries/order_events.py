"""Events of many orders at once; `store.order_history` reads and writes those of one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.actions import Action, EventKind
from connector.model.events import Event
from connector.store.order_history import event_of
from connector.store.sql import select_in
from connector.store.tables import order_events


async def list_events(
    connection: AsyncConnection, numbers: Sequence[str], actions: Collection[Action]
) -> list[tuple[str, Event]]:
    """(Order number, event) of every event with one of these actions, by order, oldest first."""
    row = order_events.c
    statement = (
        select(row.order_number, row.action, row.detail)
        .where(row.action.in_([action.happened.value for action in actions]))
        .order_by(row.order_number, row.sequence)
    )
    found = await select_in(connection, statement, row.order_number, numbers)
    return [(number, event_of(EventKind(kind).action, orjson.loads(detail))) for number, kind, detail in found]


async def list_orders_with_action(connection: AsyncConnection, action: Action, since: datetime) -> set[str]:
    """Orders to which `action` happened at `since` or later."""
    row = order_events.c
    statement = select(row.order_number).where(row.action == action.happened.value, row.at >= since)
    return set((await connection.execute(statement)).scalars())
