"""The outbox of change notices: captured with the change that they report, posted, and settled.

The notices of one entity are sent in the order of its changes: a later one waits while an earlier one is postponed. One
process sends at a time, by a lease that `settle` checks.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Integer, Select, bindparam, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change_notice import ChangeNotice, NewNotice, NoticeState
from connector.store import journal
from connector.store.inbound_tables import change_notices
from connector.store.journal import MOST_NAMED, JournalEntry, command_line_actor
from connector.store.sql import Row, insert
from connector.store.types import Instant
from connector.store.unit_of_work import UnitOfWork

_COLUMNS = change_notices.c
_DUE = _COLUMNS.state == NoticeState.DUE.value


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeOutcome:
    """What became of an attempt: the new state; for a notice that stays due, the error and the next attempt."""

    id: int
    state: NoticeState
    error: str | None = None
    due_at: datetime | None = None


async def capture(uow: UnitOfWork, notices: Sequence[NewNotice]) -> None:
    """Add these notices to the outbox. Decimals and dates in their data are stored as text."""
    rows: list[Row] = [
        {
            "message_id": f"msg_{secrets.token_hex(16)}",
            "type": notice.type,
            "entity": notice.entity,
            "key": notice.key,
            "body": orjson.dumps(
                {"type": notice.type, "timestamp": uow.now.isoformat(), "data": notice.data}, default=str
            ).decode(),
            "state": NoticeState.DUE.value,
            "attempts": 0,
            **dict.fromkeys(("captured_at", "since", "due_at"), uow.now),
        }
        for notice in notices
    ]
    if rows:
        await uow.connection.execute(insert(uow.connection, change_notices), rows)


async def list_due(connection: AsyncConnection, now: datetime, limit: int) -> list[ChangeNotice]:
    """The notices that can be sent now, oldest first; none whose entity has an earlier one that is postponed."""
    return await _load(connection, _due(), {"the_now": now, "the_limit": limit})


@cache
def _due() -> Select[Any]:
    earlier, now = change_notices.alias("earlier"), bindparam("the_now", type_=Instant)
    waits = exists().where(
        earlier.c.state == NoticeState.DUE.value,
        earlier.c.entity == _COLUMNS.entity,
        earlier.c.key == _COLUMNS.key,
        earlier.c.id < _COLUMNS.id,
        earlier.c.due_at > now,
    )
    statement = select(change_notices).where(_DUE, _COLUMNS.due_at <= now, ~waits).order_by(_COLUMNS.id)
    return statement.limit(bindparam("the_limit", type_=Integer))


async def settle(uow: UnitOfWork, outcomes: Sequence[NoticeOutcome]) -> None:
    """Record what became of these attempts."""
    sent = [item.id for item in outcomes if item.state is NoticeState.SENT]
    if sent:
        done = update(change_notices).where(_COLUMNS.id.in_(sent), _DUE)
        values = {"state": NoticeState.SENT.value, "error": None, "attempts": _COLUMNS.attempts + 1, "sent_at": uow.now}
        await uow.connection.execute(done.values(**values))
    for item in outcomes:
        if item.state is not NoticeState.SENT:
            later = {} if item.due_at is None else {"due_at": item.due_at}
            failed = update(change_notices).where(_COLUMNS.id == item.id, _DUE)
            values = {"state": item.state.value, "error": item.error, "attempts": _COLUMNS.attempts + 1, **later}
            await uow.connection.execute(failed.values(**values))


async def expire(uow: UnitOfWork, age: timedelta) -> int:
    """Let the notices fail that could not be sent within `age`, and return their number."""
    why = f"It was not accepted within {age.total_seconds() / 3600:g} hours. "
    old = update(change_notices).where(_DUE, _COLUMNS.since <= uow.now - age)
    ended = old.values(state=NoticeState.FAILED.value, error=why + func.coalesce(_COLUMNS.error, ""))
    return (await uow.connection.execute(ended)).rowcount


async def make_due(
    uow: UnitOfWork,
    *,
    ids: Collection[int] = (),
    state: NoticeState | None = None,
    since: datetime | None = None,
    actor: str | None = None,
) -> list[int]:
    """Let notices be sent again, with their message IDs and their time for it anew: those of `ids`, or those in `state`
    that were captured at `since` or later. Return which."""
    again = {"state": NoticeState.DUE.value, "attempts": 0, "error": None, "since": uow.now, "due_at": uow.now}
    statement = update(change_notices)
    if ids:
        statement = statement.where(_COLUMNS.id.in_(sorted(ids)))
    if state is not None:
        statement = statement.where(_COLUMNS.state == state.value)
    if since is not None:
        statement = statement.where(_COLUMNS.captured_at >= since)
    changed = sorted((await uow.connection.execute(statement.values(**again).returning(_COLUMNS.id))).scalars())
    if changed:
        detail = {"notices": changed[:MOST_NAMED], "count": len(changed)}
        entry = JournalEntry(
            entity="webhook", key="notices", action="replayed", detail=detail, actor=actor or command_line_actor()
        )
        await journal.write(uow, [entry])
    return changed


async def list_page(
    connection: AsyncConnection, *, state: NoticeState | None = None, after: int = 0, limit: int = 1000
) -> list[ChangeNotice]:
    """Up to `limit` notices with an ID above `after`, oldest first."""
    statement = select(change_notices).where(_COLUMNS.id > after).order_by(_COLUMNS.id).limit(limit)
    return await _load(connection, statement if state is None else statement.where(_COLUMNS.state == state.value))


async def find(connection: AsyncConnection, ids: Collection[int]) -> list[ChangeNotice]:
    return await _load(connection, select(change_notices).where(_COLUMNS.id.in_(sorted(ids))).order_by(_COLUMNS.id))


_COUNTS = select(_COLUMNS.state, func.count()).group_by(_COLUMNS.state)


async def counts(connection: AsyncConnection) -> dict[NoticeState, int]:
    rows = await connection.execute(_COUNTS)
    return dict.fromkeys(NoticeState, 0) | {NoticeState(state): count for state, count in rows}


async def _load(connection: AsyncConnection, statement: Select[Any], values: Row | None = None) -> list[ChangeNotice]:
    rows = await connection.execute(statement, values)
    return [ChangeNotice(**{**row._mapping, "state": NoticeState(row.state)}) for row in rows]
