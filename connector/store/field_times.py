"""When fields of entities were changed here last: of two changes on both sides, the later one counts, field by field.

An attribute that was never changed since its entity came here has no time of its own; then that of the entity counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.store.inbound_tables import field_times
from connector.store.sql import select_in, upsert
from connector.store.unit_of_work import UnitOfWork


async def note(
    uow: UnitOfWork, kind: EntityKind, changes: Iterable[tuple[str, object, object]], names: Collection[str]
) -> None:
    """Note which of the attributes `names` differ: `changes` are keys with the entity before and after."""
    rows = [
        {"entity": kind.value, "key": key, "attribute": name, "changed_at": uow.now}
        for key, before, after in sorted(changes, key=lambda change: change[0])
        for name in names
        if getattr(before, name) != getattr(after, name)
    ]
    await upsert(uow.connection, field_times, rows)


async def get(connection: AsyncConnection, kind: EntityKind, keys: Iterable[str]) -> dict[str, dict[str, datetime]]:
    """The times of these entities, by key and attribute."""
    columns = select(field_times.c.key, field_times.c.attribute, field_times.c.changed_at)
    statement = columns.where(field_times.c.entity == kind.value)
    times: dict[str, dict[str, datetime]] = {}
    for row in await select_in(connection, statement, field_times.c.key, keys):
        times.setdefault(row.key, {})[row.attribute] = row.changed_at
    return times
