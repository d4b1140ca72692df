"""Which fields were sent again because the org's value had to give way, and what the org held then.

Without this memory, a trigger in the org that changes what we send would keep both sides writing for ever: we restore
our value, the trigger changes it, we see a change and restore it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.record import FieldValue, Link, dump_value, load_value
from connector.store.inbound_tables import restored_fields
from connector.store.sql import select_in, upsert
from connector.store.unit_of_work import UnitOfWork


class Restored(NamedTuple):
    """`local` was sent in place of `remote`, for the `times`th time in a row."""

    local: FieldValue
    remote: FieldValue
    times: int


_OF_ENTITY = select(restored_fields).where(
    restored_fields.c.org_id == bindparam("the_org"), restored_fields.c.entity == bindparam("the_entity")
)


async def get(
    connection: AsyncConnection, org_id: str, entity: str, keys: Iterable[str]
) -> dict[tuple[str, str], Restored]:
    """What was restored of these entities, by (key, field)."""
    values = {"the_org": org_id, "the_entity": entity}
    return {
        (row.key, row.field): Restored(load_value(row.local), load_value(row.remote), row.times)
        for row in await select_in(connection, _OF_ENTITY, restored_fields.c.key, keys, **values)
    }


async def list_pending(
    connection: AsyncConnection, org_id: str, stored_links: Sequence[Link]
) -> dict[tuple[str, str], dict[str, FieldValue]]:
    """Our values that are still to be put back into the org, by field, of each (entity, key): those for which it still
    has the value that gives way."""
    pending: dict[tuple[str, str], dict[str, FieldValue]] = {}
    for entity in sorted({link.entity for link in stored_links}):
        snapshots = {link.key: link.snapshot for link in stored_links if link.entity == entity}
        for (key, field), item in (await get(connection, org_id, entity, snapshots)).items():
            now = snapshots[key].get(field)
            if now == item.remote and now != item.local:
                pending.setdefault((entity, key), {})[field] = item.local
    return pending


async def put(uow: UnitOfWork, org_id: str, entity: str, restored: Mapping[tuple[str, str], Restored]) -> None:
    """Remember, by (key, field), what is restored now."""
    rows = [
        {
            "org_id": org_id,
            "entity": entity,
            "key": key,
            "field": field,
            "local": dump_value(item.local),
            "remote": dump_value(item.remote),
            "times": item.times,
            "restored_at": uow.now,
        }
        for (key, field), item in sorted(restored.items())
    ]
    await upsert(uow.connection, restored_fields, rows)
