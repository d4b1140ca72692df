"""Causes of dead letters as people work on them; `model/cause.py` draws what becomes of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.cause import SETTLES, Cause, ClosedHow
from connector.model.dead_letter_group import DeadLetterGroup
from connector.store import journal
from connector.store.job_tables import causes
from connector.store.journal import JournalEntry
from connector.store.sql import insert_missing
from connector.store.unit_of_work import UnitOfWork

_IS_OPEN = causes.c.closed_at.is_(None)
_HOW = {"replay": ClosedHow.REPLAYED, "discard": ClosedHow.DISCARDED, "correct": ClosedHow.CORRECTED}


@dataclass(frozen=True, kw_only=True, slots=True)
class CauseChanges:
    """How many causes were opened and closed."""

    opened: int
    closed: int


_OPEN = select(causes).where(_IS_OPEN)


async def list_open(connection: AsyncConnection) -> dict[str, Cause]:
    """The causes that are not closed, by fingerprint."""
    rows = await connection.execute(_OPEN)
    return {row.fingerprint: _build(row) for row in rows}


async def list_settling(connection: AsyncConnection, groups: Sequence[DeadLetterGroup]) -> list[Cause]:
    """The open causes of which nothing is left, the one that was opened last first: `follow` closes them soon. `groups`
    are the causes of now."""
    left = {group.fingerprint for group in groups}
    rows = await connection.execute(select(causes).where(_IS_OPEN).order_by(causes.c.id.desc()))
    return [_build(row) for row in rows if row.fingerprint not in left]


async def list_closed(connection: AsyncConnection, *, before: int | None = None, limit: int) -> list[Cause]:
    """Closed causes, the one that was opened last first."""
    statement = select(causes).where(~_IS_OPEN).order_by(causes.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(causes.c.id < before)
    return [_build(row) for row in await connection.execute(statement)]


async def follow(uow: UnitOfWork, groups: Sequence[DeadLetterGroup]) -> CauseChanges:
    """Open what is new among the causes of now, and close those of which nothing is left for a while."""
    known = await list_open(uow.connection)
    now_there = {group.fingerprint: group for group in groups}
    opened = await _open(uow, [group for group in groups if group.fingerprint not in known])
    for name, cause in known.items():
        group = now_there.get(name)
        if group is not None and group.count > cause.most:
            await _set(uow, [name], {"most": group.count})
    is_emptying = causes.c.empty_since.is_not(None)
    rows = await uow.connection.execute(select(causes.c.fingerprint).where(_IS_OPEN, is_emptying))
    emptying = {row.fingerprint for row in rows}
    again = {"empty_since": None, "last_action": None, "last_actor": None}  # what somebody did was not enough
    await _set(uow, sorted(emptying & now_there.keys()), again)
    await _set(uow, sorted(known.keys() - now_there.keys() - emptying), {"empty_since": uow.now})
    closing = update(causes).where(_IS_OPEN, causes.c.empty_since <= uow.now - SETTLES)
    closed = await uow.connection.execute(
        closing.values(closed_at=causes.c.empty_since, closed_how=_how_closed(), closed_by=causes.c.last_actor)
    )
    return CauseChanges(opened=opened, closed=closed.rowcount)


async def change(
    uow: UnitOfWork, group: DeadLetterGroup, values: Mapping[str, object], *, action: str, actor: str
) -> None:
    """Set `assignee`, `note` or the snooze of the cause of a group, and write it to the audit."""
    await _open(uow, [group])
    await _set(uow, [group.fingerprint], values)
    detail = {name: value for name, value in values.items() if name in {"assignee", "snoozed_until"}}
    entry = JournalEntry(entity="cause", key=group.fingerprint, action=action, detail=detail, actor=actor)
    await journal.write(uow, [entry])


async def record_action(uow: UnitOfWork, groups: Sequence[DeadLetterGroup], action: str, *, actor: str) -> None:
    """Remember what a person did with dead letters of these causes: it is how they are closed, if that was all. They
    are opened if `follow` has not seen them yet."""
    await _open(uow, groups)
    names = sorted({group.fingerprint for group in groups})
    await _set(uow, names, {"last_action": _HOW[action].value, "last_actor": actor})


async def _open(uow: UnitOfWork, groups: Sequence[DeadLetterGroup]) -> int:
    """Open causes, unless they are; one that comes back has the assignee and the note that it had."""
    if not groups:
        return 0
    names = [group.fingerprint for group in groups]
    earlier: dict[str, Any] = {}
    statement = select(causes.c.fingerprint, causes.c.assignee, causes.c.note).where(causes.c.fingerprint.in_(names))
    for row in await uow.connection.execute(statement.order_by(causes.c.id)):
        earlier[row.fingerprint] = row
    rows = [
        {
            "fingerprint": group.fingerprint, "entity": group.entity.value, "code": group.code, "field": group.field,
            "source": group.source, "opened_at": group.first_refused_at, "most": group.count,
            "assignee": getattr(earlier.get(group.fingerprint), "assignee", None),
            "note": getattr(earlier.get(group.fingerprint), "note", None),
        }
        for group in groups
    ]  # fmt: skip
    return len(await insert_missing(uow.connection, causes, rows))


async def _set(uow: UnitOfWork, names: Sequence[str], values: Mapping[str, object]) -> None:
    if names:
        await uow.connection.execute(update(causes).where(_IS_OPEN, causes.c.fingerprint.in_(names)).values(**values))


def _how_closed() -> ColumnElement[str]:
    return func.coalesce(causes.c.last_action, ClosedHow.BY_ITSELF.value)


def _build(row: Row[Any]) -> Cause:
    names = (
        "id", "fingerprint", "entity", "code", "field", "source", "opened_at", "most", "assignee", "note",
        "snoozed_until", "snoozed_at_count", "closed_at", "closed_by", "last_actor",
    )  # fmt: skip
    how = None if row.closed_how is None else ClosedHow(row.closed_how)
    last = None if row.last_action is None else ClosedHow(row.last_action)
    return Cause(closed_how=how, last_action=last, **{name: getattr(row, name) for name in names})
