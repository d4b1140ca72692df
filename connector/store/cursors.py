"""How far each reader of an org has come: the watermark of a poll, the replay ID of a subscription.

A cursor is set in the transaction that stores what was read up to it, so a crash repeats work and loses none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.inbound_tables import cursors
from connector.store.sql import upsert
from connector.store.unit_of_work import UnitOfWork

Position = Mapping[str, Any]
"""Where a reader is, as JSON."""


def events_of(topic: str) -> str:
    """The name of the cursor of a subscription."""
    return f"events:{topic}"


_POSITION = select(cursors.c.position).where(
    cursors.c.org_id == bindparam("the_org"), cursors.c.name == bindparam("the_name")
)
_POSITIONS = (
    select(cursors.c.name, cursors.c.position).where(cursors.c.org_id == bindparam("the_org")).order_by(cursors.c.name)
)


async def get(connection: AsyncConnection, org_id: str, name: str) -> Position | None:
    """The position of one cursor; None if it was never set."""
    text = (await connection.execute(_POSITION, {"the_org": org_id, "the_name": name})).scalar()
    return None if text is None else orjson.loads(text)


async def set_position(uow: UnitOfWork, org_id: str, name: str, position: Position) -> None:
    """Move a cursor to `position`."""
    row = {"org_id": org_id, "name": name, "position": orjson.dumps(position).decode(), "updated_at": uow.now}
    await upsert(uow.connection, cursors, [row])


async def list_all(connection: AsyncConnection, org_id: str) -> dict[str, Position]:
    """Every cursor of an org, by name."""
    rows = await connection.execute(_POSITIONS, {"the_org": org_id})
    return {row.name: orjson.loads(row.position) for row in rows}
