"""Alerts and the messages that tell of them. A message is stored in the transaction that stores what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Integer, Row, Update, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.alert import Alert, AlertChanges, AlertEvent, AlertMessage, MessageState
from connector.store.job_tables import alert_messages, alerts
from connector.store.sql import insert
from connector.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMessage:
    """A message as it is listed."""

    alert: int
    event: str
    channel: str
    state: str
    attempts: int
    sent_at: datetime | None
    error: str | None


_CURRENT = select(alerts).where(alerts.c.ended_at.is_(None)).order_by(alerts.c.id)


async def list_current(connection: AsyncConnection) -> list[Alert]:
    """The alerts that have not ended, and what is noticed and not told yet; the oldest first."""
    return [_build(row) for row in await connection.execute(_CURRENT)]


async def list_page(
    connection: AsyncConnection, *, is_open: bool | None = None, before: int | None = None, limit: int
) -> list[Alert]:
    """Alerts that were told, the newest first; only open or ended ones if `is_open` says so."""
    statement = select(alerts).where(alerts.c.began_at.is_not(None)).order_by(alerts.c.id.desc()).limit(limit)
    if is_open is not None:
        statement = statement.where(alerts.c.ended_at.is_(None) if is_open else alerts.c.ended_at.is_not(None))
    if before is not None:
        statement = statement.where(alerts.c.id < before)
    return [_build(row) for row in await connection.execute(statement)]


async def list_messages(connection: AsyncConnection, numbers: Sequence[int]) -> list[StoredMessage]:
    """The messages of these alerts."""
    columns = alert_messages.c
    statement = select(alert_messages).where(columns.alert.in_(numbers)).order_by(columns.alert, columns.event)
    return [
        StoredMessage(
            alert=row.alert, event=row.event, channel=row.channel, state=row.state, attempts=row.attempts,
            sent_at=row.sent_at, error=row.error,
        )
        for row in await connection.execute(statement)
    ]  # fmt: skip


async def apply(uow: UnitOfWork, changes: AlertChanges, channels: Sequence[str]) -> None:
    """Store changes, and for each alert that begins or ends a message for each channel."""
    connection, now = uow.connection, uow.now
    for condition in changes.noticed:
        begins = condition.hold <= timedelta(0)
        row = {
            "rule": condition.rule.value, "subject": condition.subject, "text": condition.text, "fix": condition.fix,
            "noticed_at": now, "began_at": now if begins else None,
        }  # fmt: skip
        statement = insert(connection, alerts).values(**row).on_conflict_do_nothing().returning(alerts.c.id)
        number = (await connection.execute(statement)).scalar()
        if begins and number is not None:
            await _add_messages(uow, number, AlertEvent.BEGAN, channels)
    for number, condition in changes.held:
        await _update(uow, number, text=condition.text, fix=condition.fix, clear_since=None)
    for number, condition in changes.begun:
        await _update(uow, number, text=condition.text, fix=condition.fix, began_at=now)
        await _add_messages(uow, number, AlertEvent.BEGAN, channels)
    for number in changes.clear:
        await _update(uow, number, clear_since=now)
    for number in changes.ended:
        await _end(uow, number)
    for number in changes.forgotten:
        await connection.execute(delete(alerts).where(alerts.c.id == number))


async def _end(uow: UnitOfWork, number: int) -> None:
    """The end is told where the beginning was; a beginning that was never told is told no more."""
    await _update(uow, number, ended_at=uow.now)
    columns = alert_messages.c
    its = columns.alert == number
    statement = select(columns.channel).where(its, columns.state == MessageState.SENT.value)
    told = (await uow.connection.execute(statement)).scalars().all()
    await uow.connection.execute(delete(alert_messages).where(its, columns.state == MessageState.DUE.value))
    await _add_messages(uow, number, AlertEvent.ENDED, told)


_DUE = (
    select(alert_messages, *(column.label(f"alert_{column.name}") for column in alerts.c))
    .join(alerts, alerts.c.id == alert_messages.c.alert)
    .where(alert_messages.c.state == MessageState.DUE.value, alert_messages.c.due_at <= bindparam("the_now"))
    .order_by(alert_messages.c.alert, alert_messages.c.channel)
    .limit(bindparam("the_limit", type_=Integer))
)


async def list_due(connection: AsyncConnection, now: datetime, limit: int) -> list[AlertMessage]:
    """Messages that are to be sent now, the oldest alert first."""
    rows = await connection.execute(_DUE, {"the_now": now, "the_limit": limit})
    return [
        AlertMessage(
            alert=_build(row, "alert_"), event=AlertEvent(row.event), channel=row.channel, attempts=row.attempts
        )
        for row in rows
    ]


async def record_sent(uow: UnitOfWork, message: AlertMessage) -> None:
    await _settle(uow, message, state=MessageState.SENT.value, sent_at=uow.now, error=None)


async def record_failure(uow: UnitOfWork, message: AlertMessage, error: str, *, due_at: datetime | None) -> None:
    """It is sent again at `due_at`; never if that is None."""
    state = MessageState.FAILED if due_at is None else MessageState.DUE
    await _settle(uow, message, state=state.value, error=error, **({} if due_at is None else {"due_at": due_at}))


async def give_up_messages(uow: UnitOfWork, why: str) -> int:
    """Send none of the messages that are due, and return their number."""
    due = update(alert_messages).where(alert_messages.c.state == MessageState.DUE.value)
    return (await uow.connection.execute(due.values(state=MessageState.FAILED.value, error=why))).rowcount


async def _settle(uow: UnitOfWork, message: AlertMessage, **values: object) -> None:
    message_key = {"the_alert": message.alert.id, "the_event": message.event.value, "the_channel": message.channel}
    values["attempts"] = message.attempts + 1
    new_values = {f"new_{name}": value for name, value in values.items()}
    await uow.connection.execute(_settled(tuple(values)), message_key | new_values)


@cache
def _settled(changed: tuple[str, ...]) -> Update:
    columns = alert_messages.c
    statement = update(alert_messages).where(
        columns.alert == bindparam("the_alert"),
        columns.event == bindparam("the_event"),
        columns.channel == bindparam("the_channel"),
    )
    return statement.values({name: bindparam(f"new_{name}") for name in changed})


async def _update(uow: UnitOfWork, number: int, **values: object) -> None:
    await uow.connection.execute(update(alerts).where(alerts.c.id == number).values(**values))


async def _add_messages(uow: UnitOfWork, number: int, event: AlertEvent, channels: Sequence[str]) -> None:
    rows = [
        {"alert": number, "event": event.value, "channel": channel, "state": MessageState.DUE.value, "attempts": 0,
         "due_at": uow.now}
        for channel in channels
    ]  # fmt: skip
    if rows:
        await uow.connection.execute(insert(uow.connection, alert_messages).values(rows).on_conflict_do_nothing())


def _build(row: Row[Any], prefix: str = "") -> Alert:
    return Alert(**{column.name: getattr(row, prefix + column.name) for column in alerts.c})
