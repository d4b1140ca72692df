"""Conditions on rows of the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TypeAlias

from sqlalchemy import ColumnElement, and_, false, or_, true

from connector.model.change import ChangeState, EntityKind
from connector.model.lane import Lane
from connector.store.tables import outbox

Selection: TypeAlias = Mapping[EntityKind, Set[str] | None]
"""Changes of some kinds: of these keys, or of every key if None."""

_MAX_KEYS_PER_STATEMENT = 20_000
"""Keys that one statement can name; a larger selection means every change of the kind."""

IS_DUE = outbox.c.state == ChangeState.DUE.value


def matches_selection(only: Selection | None) -> ColumnElement[bool]:
    if only is None:
        return true()
    chosen = [
        and_(
            outbox.c.entity == entity.value,
            true() if keys is None or len(keys) > _MAX_KEYS_PER_STATEMENT else outbox.c.key.in_(sorted(keys)),
        )
        for entity, keys in only.items()
    ]
    return or_(false(), *chosen)


def is_in_lanes(lowest: Lane | None) -> ColumnElement[bool]:
    """Whether a change is in the lanes down to `lowest`; none is if that is None."""
    if lowest is None:
        return false()
    return true() if lowest >= Lane.BACKFILL else outbox.c.lane <= lowest.value
