"""Conflicts that a person decides. While one is open, neither side's value of its field goes to the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.conflict import Conflict, ConflictState
from connector.model.record import dump_value, load_value
from connector.store.inbound_tables import conflicts
from connector.store.orgs import belongs_to, is_of_scope
from connector.store.scope import scope_of
from connector.store.sql import select_in
from connector.store.unit_of_work import UnitOfWork

_VALUES = ("base", "local", "remote")
_TEXTS = ("org_id", "entity", "key", "field", "sobject", "record_id", "local_changed_at", "remote_changed_at",
          "remote_changed_by")  # fmt: skip


_INSERT = insert(conflicts).returning(conflicts.c.id)
_UPDATE = (  # not `base`: what both sides agreed on has not changed since
    update(conflicts)
    .where(conflicts.c.id == bindparam("the_id"))
    .values({name: bindparam(f"new_{name}") for name in (*_TEXTS, *_VALUES) if name != "base"})
)


async def open_or_update(uow: UnitOfWork, items: Sequence[Conflict]) -> list[Conflict]:
    """Open these conflicts; of one that is open already, the values and times are updated. Returns those that are new,
    with their IDs."""
    opened = []
    known = {(item.entity, item.key, item.field): item for item in await _list_open(uow.connection, items)}
    for item in items:
        values = {name: getattr(item, name) for name in _TEXTS} | {
            name: dump_value(getattr(item, name)) for name in _VALUES
        }
        earlier = known.get((item.entity, item.key, item.field))
        if earlier is None:
            row = values | {"state": ConflictState.OPEN.value, "opened_at": uow.now}
            number = (await uow.connection.execute(_INSERT, row)).scalar_one()
            opened.append(replace(item, id=number, opened_at=uow.now))
        else:
            changes = {f"new_{name}": value for name, value in values.items()}
            await uow.connection.execute(_UPDATE, {"the_id": earlier.id, **changes})
    return opened


async def resolve(uow: UnitOfWork, ids: Collection[int], state: ConflictState, *, actor: str) -> int:
    """Close open conflicts with this result; returns how many were open."""
    statement = (
        update(conflicts)
        .where(conflicts.c.id.in_(sorted(ids)), conflicts.c.state == ConflictState.OPEN.value)
        .values(state=state.value, resolved_at=uow.now, resolved_by=actor)
    )
    return (await uow.connection.execute(statement)).rowcount if ids else 0


async def get(connection: AsyncConnection, conflict_id: int) -> Conflict | None:
    row = (await connection.execute(select(conflicts).where(conflicts.c.id == conflict_id))).first()
    return None if row is None else build_conflict(row)


async def find(connection: AsyncConnection, ids: Collection[int]) -> list[Conflict]:
    """Those with these IDs, oldest first."""
    statement = select(conflicts).where(conflicts.c.id.in_(sorted(ids))).order_by(conflicts.c.id)
    return [build_conflict(row) for row in await connection.execute(statement)] if ids else []


async def list_page(
    connection: AsyncConnection, *, state: ConflictState | None = ConflictState.OPEN, after: int = 0, limit: int
) -> list[Conflict]:
    """Up to `limit` conflicts behind the ID `after`, oldest first; those in `state`, or all."""
    statement = (
        select(conflicts)
        .where(conflicts.c.id > after, is_of_scope(connection, conflicts.c.org_id))
        .order_by(conflicts.c.id)
        .limit(limit)
    )
    if state is not None:
        statement = statement.where(conflicts.c.state == state.value)
    return [build_conflict(row) for row in await connection.execute(statement)]


async def list_of_field(
    connection: AsyncConnection, org_id: str, sobject: str, field: str, *, limit: int
) -> list[Conflict]:
    """Up to `limit` open conflicts of a field, oldest first."""
    statement = (
        select(conflicts)
        .where(
            conflicts.c.org_id == org_id,
            conflicts.c.sobject == sobject,
            conflicts.c.field == field,
            conflicts.c.state == ConflictState.OPEN.value,
        )
        .order_by(conflicts.c.id)
        .limit(limit)
    )
    return [build_conflict(row) for row in await connection.execute(statement)]


_OPEN = select(conflicts).where(
    conflicts.c.org_id == bindparam("the_org"),
    conflicts.c.entity == bindparam("the_entity"),
    conflicts.c.state == ConflictState.OPEN.value,
)


async def open_fields(
    connection: AsyncConnection, org_id: str, entity: str, keys: Iterable[str]
) -> dict[str, dict[str, Conflict]]:
    """Open conflicts of these entities, by key and field; an entity without any has no entry."""
    by_key: dict[str, dict[str, Conflict]] = {}
    for row in await select_in(connection, _OPEN, conflicts.c.key, keys, the_org=org_id, the_entity=entity):
        by_key.setdefault(row.key, {})[row.field] = build_conflict(row)
    return by_key


async def count_open(connection: AsyncConnection) -> int:
    number: int = (await connection.execute(_count_open(scope_of(connection)))).scalar_one()
    return number


@lru_cache
def _count_open(scope: str | None) -> Select[Any]:
    is_open = (conflicts.c.state == ConflictState.OPEN.value, belongs_to(scope, conflicts.c.org_id))
    return select(func.count()).select_from(conflicts).where(*is_open)


async def _list_open(connection: AsyncConnection, items: Sequence[Conflict]) -> list[Conflict]:
    found: list[Conflict] = []
    for org_id, entity in sorted({(item.org_id, item.entity) for item in items}):
        keys = sorted({item.key for item in items if (item.org_id, item.entity) == (org_id, entity)})
        for fields in (await open_fields(connection, org_id, entity, keys)).values():
            found += fields.values()
    return found


def build_conflict(row: Any) -> Conflict:
    """A conflict from its row."""
    stored: dict[str, Any] = dict(row._mapping)
    stored |= {name: load_value(stored[name]) for name in _VALUES} | {"state": ConflictState(row.state)}
    return Conflict(**stored)
