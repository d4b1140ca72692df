"""How far each reader of an org has come: the watermark of a poll, the replay ID of a subscription.

A cursor is set in the transaction that stores what was read up to it, so a crash repeats work and loses none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.inbound_tables import cursors
from connector.store.sql import upsert
from connector.store.unit_of_work import UnitOfWork

Position = Mapping[str, Any]
"""Where a reader is, as JSON."""


def events_of(topic: str) -> str:
    """The name of the cursor of a subscription."""
    return f"events:{topic}"


async def get(connection: AsyncConnection, org_id: str, name: str) -> Position | None:
    """The position of one cursor; None if it was never set."""
    statement = select(cursors.c.position).where(cursors.c.org_id == org_id, cursors.c.name == name)
    text = (await connection.execute(statement)).scalar()
    return None if text is None else orjson.loads(text)


async def set_position(uow: UnitOfWork, org_id: str, name: str, position: Position) -> None:
    """Move a cursor to `position`."""
    row = {"org_id": org_id, "name": name, "position": orjson.dumps(position).decode(), "updated_at": uow.now}
    await upsert(uow.connection, cursors, [row])


async def list_all(connection: AsyncConnection, org_id: str) -> dict[str, Position]:
    """Every cursor of an org, by name."""
    statement = select(cursors.c.name, cursors.c.position).where(cursors.c.org_id == org_id).order_by(cursors.c.name)
    return {row.name: orjson.loads(row.position) for row in await connection.execute(statement)}
