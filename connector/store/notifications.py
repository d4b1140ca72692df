"""The outbox of what customers are sent: captured with the event that gives rise to it, claimed in batches, settled.

A claim has a number that rises. Whoever was frozen until its claim ran out, and was taken over from, finds that number
gone when it settles. Claims wait for each other, so that no two see the same message as free, and the messages of one
order go out in the order of their events: a later one waits for an earlier one that is postponed or being sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.notification import UNSENT, MessageKind, MessageState, Notification, NotificationRequest
from connector.store import journal
from connector.store.sql import Row, insert
from connector.store.tables import counters, messages
from connector.store.unit_of_work import UnitOfWork

CLAIMS = "message claims"
_SAME = ("id", "key", "reference", "attempts", "captured_at", "since", "due_at", "sent_at", "error")
_DUE = messages.c.state == MessageState.DUE.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Messages, the first first, that nobody else sends before `until`."""

    number: int
    until: datetime
    messages: Sequence[Notification]


async def capture(uow: UnitOfWork, items: Sequence[NotificationRequest]) -> None:
    """Owe these messages. One that is there already, sent or not, is not owed again."""
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
        subject = ["order_number", "kind", "reference"]
        await uow.connection.execute(
            insert(uow.connection, messages).on_conflict_do_nothing(index_elements=subject), rows
        )


async def some_due(connection: AsyncConnection, now: datetime) -> bool:
    """Whether there is anything that could be claimed now; it costs nothing to ask."""
    statement = select(messages.c.id).where(_DUE, messages.c.due_at <= now, _free(now)).limit(1)
    return (await connection.execute(statement)).first() is not None


async def expire(uow: UnitOfWork, age: timedelta) -> int:
    """End what nobody could send within `age`; how many."""
    old = update(messages).where(_DUE, messages.c.since <= uow.now - age, _free(uow.now))
    hours = age.total_seconds() / 3600
    why = func.coalesce(messages.c.error, "")
    ended = old.values(
        state=MessageState.EXPIRED.value, claim=None, claimed_until=None,
        error=f"It could not be sent within {hours:g} hours. " + why,
    )  # fmt: skip
    return (await uow.connection.execute(ended)).rowcount


async def claim(uow: UnitOfWork, *, limit: int, seconds: float) -> Claim:
    """Take up to `limit` messages whose time has come, for `seconds`."""
    raised = insert(uow.connection, counters).values(name=CLAIMS, value=1)
    # The row stays locked until the commit: the next claim sees what this one took.
    number = (
        await uow.connection.execute(
            raised.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1}).returning(
                counters.c.value
            )
        )
    ).scalar_one()
    earlier = messages.alias("earlier")
    overtaken = exists().where(
        earlier.c.order_number == messages.c.order_number,
        earlier.c.id < messages.c.id,
        # Wrapped, so that SQLite looks among the messages of the order; for the bare column, among all that are due.
        func.coalesce(earlier.c.state, earlier.c.state) == MessageState.DUE.value,
        earlier.c.kind != MessageKind.ESCALATION.value,
        or_(earlier.c.due_at > messages.c.due_at, earlier.c.claimed_until > uow.now),
    )
    chosen = (
        select(messages.c.id)
        .where(_DUE, messages.c.due_at <= uow.now, _free(uow.now))
        .where(or_(messages.c.kind == MessageKind.ESCALATION.value, ~overtaken))
        .order_by(messages.c.due_at, messages.c.id)
        .limit(limit)
    )
    ids = list((await uow.connection.execute(chosen)).scalars())
    until = uow.now + timedelta(seconds=seconds)
    # PostgreSQL may have waited for somebody who discarded or postponed one of them: what is theirs is looked at again.
    still = and_(messages.c.id.in_(ids), _DUE, messages.c.due_at <= uow.now, _free(uow.now))
    taken = update(messages).where(still).values(claim=number, claimed_until=until).returning(messages)
    found = sorted((_message(row) for row in await uow.connection.execute(taken)), key=lambda item: item.id)
    return Claim(number=number, until=until, messages=found)


async def settle(
    uow: UnitOfWork,
    number: int,
    message: Notification,
    state: MessageState,
    *,
    error: str | None = None,
    due_at: datetime | None = None,
) -> bool:
    """What became of an attempt; False if the claim is over. `due_at`: when it is tried again, for what stays due."""
    values: dict[str, Any] = {"state": state.value, "error": error, "attempts": messages.c.attempts + 1}
    if state is MessageState.SENT:
        values["sent_at"] = uow.now
    if due_at is not None:
        values["due_at"] = due_at
    return await _settled(uow, number, [message], values)


async def give_back(uow: UnitOfWork, number: int, items: Sequence[Notification]) -> None:
    """Messages of a claim that were not attempted; anybody may send them at once."""
    await _settled(uow, number, items, {})


async def _settled(uow: UnitOfWork, number: int, items: Sequence[Notification], values: dict[str, Any]) -> bool:
    mine = and_(messages.c.id.in_([item.id for item in items]), messages.c.claim == number, _DUE)
    done = await uow.connection.execute(update(messages).where(mine).values(**values, claim=None, claimed_until=None))
    return done.rowcount == len(items)


async def retry(uow: UnitOfWork, ids: Sequence[int], *, by: str) -> list[Notification]:
    """Make messages due again that were given up; which ones those were."""
    again = {"state": MessageState.DUE.value, "attempts": 0, "since": uow.now, "due_at": uow.now, "error": None}
    return await _changed(uow, ids, UNSENT, again, "message retried", by)


async def discard(uow: UnitOfWork, ids: Sequence[int], *, by: str) -> list[Notification]:
    """Give up messages that are due or were not sent; which ones those were."""
    among = (UNSENT | {MessageState.DUE}) - {MessageState.DISCARDED}
    return await _changed(uow, ids, among, {"state": MessageState.DISCARDED.value}, "message discarded", by)


async def _changed(
    uow: UnitOfWork,
    ids: Sequence[int],
    among: frozenset[MessageState],
    values: dict[str, Any],
    action: str,
    by: str,
) -> list[Notification]:
    """What is being sent just now is left alone."""
    mine = (messages.c.id.in_(list(ids)), messages.c.state.in_(sorted(among)), _free(uow.now))
    locked = select(messages).where(*mine).order_by(messages.c.id).with_for_update()
    found = [_message(row) for row in await uow.connection.execute(locked)]
    chosen = messages.c.id.in_([item.id for item in found])
    await uow.connection.execute(update(messages).where(chosen).values(**values, claim=None, claimed_until=None))
    entries = [
        journal.JournalEntry(
            entity=EntityKind.ORDER.value, key=item.order, action=action, detail={"message": item.title, "by": by}
        )
        for item in found
    ]
    await journal.write(uow, entries)
    return found


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
    """The first first, from the one behind `after` on."""
    statement = select(messages).where(messages.c.id > after).order_by(messages.c.id).limit(limit)
    if order is not None:
        statement = statement.where(messages.c.order_number == order)
    if states:
        statement = statement.where(messages.c.state.in_(states))
    return [_message(row) for row in await connection.execute(statement)]


async def list_captured_since(connection: AsyncConnection, since: datetime) -> list[Notification]:
    """Messages that were captured at `since` or later, whatever became of them."""
    rows = await connection.execute(select(messages).where(messages.c.captured_at >= since))
    return [_message(row) for row in rows]


async def counts(connection: AsyncConnection) -> dict[MessageState, int]:
    rows = await connection.execute(select(messages.c.state, func.count()).group_by(messages.c.state))
    return dict.fromkeys(MessageState, 0) | {MessageState(state): count for state, count in rows}


def _free(now: datetime) -> Any:
    """Whether nobody is sending it just now."""
    return or_(messages.c.claimed_until.is_(None), messages.c.claimed_until <= now)


def _message(row: Any) -> Notification:
    return Notification(
        order=row.order_number,
        kind=MessageKind(row.kind),
        state=MessageState(row.state),
        **{name: getattr(row, name) for name in _SAME},
    )
