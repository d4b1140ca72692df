"""Deletes what nobody needs any more: rows that are done with, and older than somebody may still look for them.

What waits for a person or for the org is never deleted: open conflicts, parked records, due notices and events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Column, ColumnElement, Table, delete, select, tuple_

from connector.model.change_notice import NoticeState
from connector.model.conflict import ConflictState
from connector.model.notification import MessageState
from connector.model.outgoing_event import OutgoingState
from connector.store.event_tables import order_actions, outgoing_events
from connector.store.inbound_tables import change_notices, conflicts
from connector.store.job_tables import alerts, job_runs, resyncs
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
    alerts: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """Rows of `table` that are done with if `ended`, and have been since `since`."""

    table: Table
    ended: ColumnElement[bool] | None
    since: Column[object]


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
    "idle_job_runs": _Kind(table=job_runs, ended=job_runs.c.idle.is_(True), since=job_runs.c.ended_at),
    "alerts": _Kind(table=alerts, ended=None, since=alerts.c.ended_at),
}


async def delete_expired(uow: UnitOfWork, kind: str, age: timedelta, limit: int) -> int:
    """Delete up to `limit` rows of this kind (a field of `Retention`) that are older than `age`; return how many."""
    chosen = _KINDS[kind]
    key = tuple_(*chosen.table.primary_key.columns)
    old = select(*chosen.table.primary_key.columns).where(chosen.since < uow.now - age)
    if chosen.ended is not None:
        old = old.where(chosen.ended)
    return (await uow.connection.execute(delete(chosen.table).where(key.in_(old.limit(limit))))).rowcount
