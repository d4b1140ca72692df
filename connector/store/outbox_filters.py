"""Conditions on rows of the outbox, in statements that are built once."""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import lru_cache
from typing import Any, TypeAlias, TypeGuard

from sqlalchemy import ColumnElement, Result, Select, and_, bindparam, false, or_, true
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import ChangeState, EntityKind
from connector.model.lane import Lane
from connector.store.scope import within_scope
from connector.store.tables import outbox

Selection: TypeAlias = Mapping[EntityKind, Set[str] | None]
"""Changes of some kinds: of these keys, or of every key if None."""

_Kinds: TypeAlias = tuple[tuple[EntityKind, bool], ...] | None
"""The kinds of a selection, each with whether the statement names its keys."""

_MAX_KEYS_PER_STATEMENT = 20_000
"""Keys that one statement can name; a larger selection means every change of the kind."""

IS_DUE = outbox.c.state == ChangeState.DUE.value


async def execute_selected(
    connection: AsyncConnection,
    statement: Select[Any],
    only: Selection | None,
    lowest: Lane | None = Lane.BACKFILL,
    **values: Any,
) -> Result[*tuple[Any, ...]]:
    """Execute `statement`, a constant, for those changes of `only` in the lanes down to `lowest` that belong to the
    scope. `values` are those of its bound parameters."""
    kinds = None if only is None else tuple((entity, _is_named(keys)) for entity, keys in only.items())
    selected = within_scope(connection, _selected(statement, kinds, lowest), outbox.c.org)
    keys_by_kind = {_keys_of(entity): sorted(keys) for entity, keys in (only or {}).items() if _is_named(keys)}
    return await connection.execute(selected, {**values, **keys_by_kind})


@lru_cache(maxsize=1024)
def _selected(statement: Select[Any], kinds: _Kinds, lowest: Lane | None) -> Select[Any]:
    statement = statement.where(is_in_lanes(lowest))
    if kinds is None:
        return statement
    chosen = [
        and_(
            outbox.c.entity == entity.value,
            outbox.c.key.in_(bindparam(_keys_of(entity), expanding=True)) if is_named else true(),
        )
        for entity, is_named in kinds
    ]
    return statement.where(or_(false(), *chosen))


def _is_named(keys: Set[str] | None) -> TypeGuard[Set[str]]:
    return keys is not None and len(keys) <= _MAX_KEYS_PER_STATEMENT


def _keys_of(entity: EntityKind) -> str:
    return f"the_{entity.value}_keys"


def is_in_lanes(lowest: Lane | None) -> ColumnElement[bool]:
    """Whether a change is in the lanes down to `lowest`; none is if that is None."""
    if lowest is None:
        return false()
    return true() if lowest >= Lane.BACKFILL else outbox.c.lane <= lowest.value
