"""Deletes what nobody needs any more: rows that are done with, and older than somebody may still look for them.

What waits for a person or for the org is never deleted: open conflicts, parked records, due notices and events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    Integer,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    func,
    not_,
    select,
    tuple_,
    update,
)

from connector.model.change_notice import NoticeState
from connector.model.conflict import ConflictState
from connector.model.notification import MessageState
from connector.model.outgoing_event import OutgoingState
from connector.store.event_tables import order_actions, outgoing_events
from connector.store.inbound_tables import change_notices, conflicts
from connector.store.job_tables import alerts, causes, job_runs, resyncs, undos
from connector.store.tables import journal, messages
from connector.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long each kind of row is kept."""

    sent_notices: timedelta
    failed_notices: timedelta
    actions: timedelta
    refused_events: timedelta
    conflicts: timedelta
    topic_history: timedelta
    job_runs: timedelta
    idle_job_runs: timedelta
    sent_messages: timedelta
    resyncs: timedelta
    causes: timedelta
    undos: timedelta
    alerts: timedelta
    journal_values: timedelta
    journal: timedelta
    audit: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """Rows of `table` that are done with if `ended`, and have been since `since`. `cleared`: only this column of them
    is emptied. `by_id`: `since` has no index, but rises with the ID."""

    table: Table
    ended: ColumnElement[bool] | None
    since: Column[object]
    cleared: Column[object] | None = None
    by_id: bool = False


_IS_KEPT = journal.c.action.in_(("discarded", "renamed"))
"""What later decisions are made by: whether the org lacks a change, and which key an entity had before."""


_KINDS = {
    "sent_notices": _Kind(
        table=change_notices,
        ended=change_notices.c.state == NoticeState.SENT.value,
        since=change_notices.c.sent_at,
    ),
    "failed_notices": _Kind(
        table=change_notices,
        ended=change_notices.c.state == NoticeState.FAILED.value,
        since=change_notices.c.due_at,
    ),
    "actions": _Kind(table=order_actions, ended=None, since=order_actions.c.received_at),
    "refused_events": _Kind(
        table=outgoing_events,
        ended=outgoing_events.c.state == OutgoingState.REFUSED.value,
        since=outgoing_events.c.due_at,
    ),
    "conflicts": _Kind(
        table=conflicts,
        ended=conflicts.c.state != ConflictState.OPEN.value,
        since=conflicts.c.resolved_at,
    ),
    "topic_history": _Kind(table=journal, ended=journal.c.entity == "topic", since=journal.c.at),
    "job_runs": _Kind(table=job_runs, ended=None, since=job_runs.c.ended_at),
    "sent_messages": _Kind(table=messages, ended=messages.c.state == MessageState.SENT.value, since=messages.c.sent_at),
    "resyncs": _Kind(table=resyncs, ended=None, since=resyncs.c.ended_at),
    "undos": _Kind(table=undos, ended=None, since=undos.c.renewed_at),
    "causes": _Kind(table=causes, ended=None, since=causes.c.closed_at),
    "idle_job_runs": _Kind(table=job_runs, ended=job_runs.c.idle.is_(True), since=job_runs.c.ended_at),
    "alerts": _Kind(table=alerts, ended=None, since=alerts.c.ended_at),
    "journal_values": _Kind(
        table=journal, ended=journal.c.fields.is_not(None), since=journal.c.at, cleared=journal.c.fields
    ),
    "journal": _Kind(
        table=journal,
        ended=and_(journal.c.actor.is_(None), journal.c.entity != "topic", not_(_IS_KEPT)),
        since=journal.c.at,
        by_id=True,
    ),
    "audit": _Kind(table=journal, ended=and_(journal.c.actor.is_not(None), not_(_IS_KEPT)), since=journal.c.at),
}


async def delete_expired(uow: UnitOfWork, kind: str, age: timedelta, limit: int) -> int:
    """Delete up to `limit` rows of this kind (a field of `Retention`) that are older than `age`, or empty a column of
    them; return how many."""
    values: dict[str, object] = {"the_moment": uow.now - age, "the_limit": limit}
    if _KINDS[kind].by_id:
        values["the_id"] = await _first_id_since(uow, _KINDS[kind], uow.now - age)
    return (await uow.connection.execute(_delete(kind), values)).rowcount


@cache
def _delete(kind: str) -> Delete | Update:
    chosen = _KINDS[kind]
    key = tuple_(*chosen.table.primary_key.columns)
    old = select(*chosen.table.primary_key.columns).where(chosen.since < bindparam("the_moment"))
    if chosen.by_id:
        old = old.where(chosen.table.c.id < bindparam("the_id"))
    if chosen.ended is not None:
        old = old.where(chosen.ended)
    found = key.in_(old.limit(bindparam("the_limit", type_=Integer)))
    if chosen.cleared is None:
        return delete(chosen.table).where(found)
    return update(chosen.table).where(found).values({chosen.cleared.name: None})


async def _first_id_since(uow: UnitOfWork, chosen: _Kind, moment: datetime) -> int:
    """The smallest ID of a row at `moment` or later, by bisection; one above the largest if there is none."""
    row = chosen.table.c.id
    low, high = (await uow.connection.execute(select(func.min(row), func.max(row)))).one()
    low, high = low or 0, (high or 0) + 1
    while low < high:
        middle = (low + high) // 2
        statement = select(row, chosen.since).where(row >= middle).order_by(row).limit(1)
        found = (await uow.connection.execute(statement)).first()
        if found is None or found[1] >= moment:
            high = middle
        else:
            low = found[0] + 1
    return int(low)
