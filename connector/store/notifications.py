"""The outbox of notifications: captured together with their event, claimed in batches, sent, and settled.

Every claim has a number that rises. A sender that was paused until its claim expired, so that another sender claimed
the messages, finds another number when it settles, and its result is ignored. Claims are made one after the other, so
no two claims hold the same message. The messages of one order are sent in the sequence of their events: a later one
waits while an earlier one is postponed or being sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, Select, Update, and_, bindparam, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.notification import UNSENT, MessageKind, MessageState, Notification, NotificationRequest
from connector.store import journal
from connector.store.sql import Row, insert_into
from connector.store.tables import counters, messages
from connector.store.types import Instant
from connector.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.sql.dml import ReturningInsert

CLAIMS = "message claims"
_SAME = ("id", "key", "reference", "attempts", "captured_at", "since", "due_at", "sent_at", "error")
_DUE = messages.c.state == MessageState.DUE.value
_NOW = bindparam("the_now", type_=Instant)
_IS_UNCLAIMED = or_(messages.c.claimed_until.is_(None), messages.c.claimed_until <= _NOW)
"""The condition that nobody is sending the message now."""
_IS_CHOSEN = messages.c.id.in_(bindparam("the_ids", expanding=True))
_IS_FREE = and_(_DUE, messages.c.due_at <= _NOW, _IS_UNCLAIMED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Messages, oldest first, that nobody else sends before `until`."""

    number: int
    until: datetime
    messages: Sequence[Notification]


async def capture(uow: UnitOfWork, items: Sequence[NotificationRequest]) -> None:
    """Add these notifications to the outbox. One that was captured before is not added again."""
    rows: list[Row] = [
        {
            "key": secrets.token_hex(16),
            "order_number": item.order,
            "kind": item.kind.value,
            "reference": item.reference,
            "state": MessageState.DUE.value,
            "attempts": 0,
            **dict.fromkeys(("captured_at", "since", "due_at"), uow.now),
        }
        for item in items
    ]
    if rows:
        await uow.connection.execute(_capture(uow.connection.dialect.name), rows)


@cache
def _capture(dialect: str) -> sqlite.Insert | postgresql.Insert:
    subject = ["order_number", "kind", "reference"]
    return insert_into(messages, dialect).on_conflict_do_nothing(index_elements=subject)


_ANY_FREE = select(messages.c.id).where(_IS_FREE).limit(1)


async def has_due(connection: AsyncConnection, now: datetime) -> bool:
    """Return whether a message could be claimed now. This is a cheap query without locks."""
    return (await connection.execute(_ANY_FREE, {"the_now": now})).first() is not None


async def expire(uow: UnitOfWork, age: timedelta) -> int:
    """Expire the messages that could not be sent within `age`, and return their number."""
    old = update(messages).where(_DUE, messages.c.since <= uow.now - age, _IS_UNCLAIMED)
    hours = age.total_seconds() / 3600
    why = func.coalesce(messages.c.error, "")
    ended = old.values(
        state=MessageState.EXPIRED.value, claim=None, claimed_until=None,
        error=f"It could not be sent within {hours:g} hours. " + why,
    )  # fmt: skip
    return (await uow.connection.execute(ended, {"the_now": uow.now})).rowcount


async def claim(uow: UnitOfWork, *, limit: int, seconds: float) -> Claim:
    """Claim up to `limit` due messages for `seconds`."""
    # The row stays locked until the commit, so the next claim sees the messages of this one as claimed.
    number = (await uow.connection.execute(_raise_claims(uow.connection.dialect.name))).scalar_one()
    ids = list((await uow.connection.execute(_claimable(), {"the_now": uow.now, "the_limit": limit})).scalars())
    until = uow.now + timedelta(seconds=seconds)
    # PostgreSQL may have waited for a transaction that discarded or postponed one: the state is checked again.
    values = {"the_ids": ids, "the_now": uow.now, "the_claim": number, "the_end": until}
    claimed = sorted((_message(row) for row in await uow.connection.execute(_CLAIM, values)), key=lambda item: item.id)
    return Claim(number=number, until=until, messages=claimed)


_CLAIM = (
    update(messages)
    .where(_IS_CHOSEN, _IS_FREE)
    .values(claim=bindparam("the_claim"), claimed_until=bindparam("the_end"))
    .returning(messages)
)


@cache
def _raise_claims(dialect: str) -> ReturningInsert[Any]:
    raised = insert_into(counters, dialect).values(name=CLAIMS, value=1)
    again = raised.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    return again.returning(counters.c.value)


@cache
def _claimable() -> Select[Any]:
    earlier = messages.alias("earlier")
    overtaken = exists().where(
        earlier.c.order_number == messages.c.order_number,
        earlier.c.id < messages.c.id,
        # Wrapped, so that SQLite uses the index on the order; for the bare column it would use the index on the state.
        func.coalesce(earlier.c.state, earlier.c.state) == MessageState.DUE.value,
        earlier.c.kind != MessageKind.ESCALATION.value,
        or_(earlier.c.due_at > messages.c.due_at, earlier.c.claimed_until > _NOW),
    )
    return (
        select(messages.c.id)
        .where(_IS_FREE)
        .where(or_(messages.c.kind == MessageKind.ESCALATION.value, ~overtaken))
        .order_by(messages.c.due_at, messages.c.id)
        .limit(bindparam("the_limit", type_=Integer))
    )


async def settle(
    uow: UnitOfWork,
    number: int,
    message: Notification,
    state: MessageState,
    *,
    error: str | None = None,
    due_at: datetime | None = None,
) -> bool:
    """Record the result of an attempt; False if the claim is no longer ours. `due_at` is the time of the next attempt,
    for a message that stays due."""
    values: dict[str, Any] = {"state": state.value, "error": error}
    if state is MessageState.SENT:
        values["sent_at"] = uow.now
    if due_at is not None:
        values["due_at"] = due_at
    return await _end_claim(uow, number, [message], values)


async def release(uow: UnitOfWork, number: int, items: Sequence[Notification]) -> None:
    """Release messages of a claim that were not attempted; any sender may claim them at once."""
    await _end_claim(uow, number, items, {})


async def _end_claim(uow: UnitOfWork, number: int, items: Sequence[Notification], values: dict[str, Any]) -> bool:
    """End a claim with the result of an attempt; without `values`, none was made."""
    parameters = {"the_ids": [item.id for item in items], "the_claim": number}
    parameters |= {f"new_{name}": value for name, value in values.items()}
    done = await uow.connection.execute(_ended(tuple(values)), parameters)
    return done.rowcount == len(items)


@cache
def _ended(changed: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in changed}
    if changed:
        values["attempts"] = messages.c.attempts + 1
    mine = and_(_IS_CHOSEN, messages.c.claim == bindparam("the_claim"), _DUE)
    return update(messages).where(mine).values(**values, claim=None, claimed_until=None)


async def retry(uow: UnitOfWork, ids: Sequence[int], *, by: str) -> list[Notification]:
    """Make unsent messages due again, and return those that were changed."""
    reset = {"state": MessageState.DUE.value, "attempts": 0, "since": uow.now, "due_at": uow.now, "error": None}
    return await _change(uow, ids, UNSENT, reset, "message retried", by)


async def discard(uow: UnitOfWork, ids: Sequence[int], *, by: str) -> list[Notification]:
    """Discard messages that are due or were not sent, and return those that were changed."""
    among = (UNSENT | {MessageState.DUE}) - {MessageState.DISCARDED}
    return await _change(uow, ids, among, {"state": MessageState.DISCARDED.value}, "message discarded", by)


async def _change(
    uow: UnitOfWork,
    ids: Sequence[int],
    among: frozenset[MessageState],
    values: dict[str, Any],
    action: str,
    by: str,
) -> list[Notification]:
    """Set `values` on the messages in one of the states `among`, except those that are being sent now."""
    mine = (messages.c.id.in_(list(ids)), messages.c.state.in_(sorted(among)), _IS_UNCLAIMED)
    locked = select(messages).where(*mine).order_by(messages.c.id).with_for_update()
    changed = [_message(row) for row in await uow.connection.execute(locked, {"the_now": uow.now})]
    chosen = messages.c.id.in_([item.id for item in changed])
    await uow.connection.execute(update(messages).where(chosen).values(**values, claim=None, claimed_until=None))
    entries = [
        journal.JournalEntry(
            entity=EntityKind.ORDER.value,
            key=item.order,
            action=action,
            detail={"message": item.title, "by": by},
            actor=by,
        )
        for item in changed
    ]
    await journal.write(uow, entries)
    return changed


async def find(connection: AsyncConnection, ids: Sequence[int]) -> list[Notification]:
    statement = select(messages).where(messages.c.id.in_(list(ids))).order_by(messages.c.id)
    return [_message(row) for row in await connection.execute(statement)]


async def list_page(
    connection: AsyncConnection,
    *,
    order: str | None = None,
    states: Sequence[MessageState] = (),
    after: int = 0,
    limit: int = 1000,
) -> list[Notification]:
    """Return up to `limit` messages with an ID above `after`, oldest first."""
    statement = select(messages).where(messages.c.id > after).order_by(messages.c.id).limit(limit)
    if order is not None:
        statement = statement.where(messages.c.order_number == order)
    if states:
        statement = statement.where(messages.c.state.in_(states))
    return [_message(row) for row in await connection.execute(statement)]


async def list_captured_since(connection: AsyncConnection, since: datetime) -> list[Notification]:
    """Return the messages that were captured at `since` or later, in any state."""
    rows = await connection.execute(select(messages).where(messages.c.captured_at >= since))
    return [_message(row) for row in rows]


_COUNTS = select(messages.c.state, func.count()).group_by(messages.c.state)


async def counts(connection: AsyncConnection) -> dict[MessageState, int]:
    rows = await connection.execute(_COUNTS)
    return dict.fromkeys(MessageState, 0) | {MessageState(state): count for state, count in rows}


def _message(row: Any) -> Notification:
    return Notification(
        order=row.order_number,
        kind=MessageKind(row.kind),
        state=MessageState(row.state),
        **{name: getattr(row, name) for name in _SAME},
    )
