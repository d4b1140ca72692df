"""The tables of the service's jobs, as they are now. `migrations/` leads a database here."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, Table, Text, text

from connector.model.alert import AlertEvent, MessageState
from connector.model.cause import ClosedHow
from connector.model.job_run import JobState, RunCause
from connector.model.resync import Priority, ResyncMode, ResyncState
from connector.store.constraints import one_of
from connector.store.tables import metadata
from connector.store.types import Instant, Key, Serial

_IS_OPEN = text("ended_at IS NULL")
_IS_NAMED = text("request IS NOT NULL")
_IS_NOT_CLOSED = text("closed_at IS NULL")
_IS_DUE = text("state = 'due'")
_IS_RUNNING = text("state = 'running'")
_IS_IDLE = text("idle")
_IS_WAITING = text("state = 'waiting'")

job_runs = Table(
    "job_runs",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("job", Key, nullable=False),
    Column("slot", Instant),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("actor", Text),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("expires_at", Instant),
    Column("idle", Boolean, nullable=False),
    Column("result", Text, nullable=False),  # JSON
    Column("error", Text),
    Column("fix", Text),
    one_of("state", JobState),
    one_of("cause", RunCause),
    Index("job_runs_slot", "job", "slot", unique=True),
    # One run of a job at a time, and one that waits, whatever the number of processes.
    Index("job_runs_running", "job", unique=True, sqlite_where=_IS_RUNNING, postgresql_where=_IS_RUNNING),
    Index("job_runs_waiting", "job", unique=True, sqlite_where=_IS_WAITING, postgresql_where=_IS_WAITING),
    Index("job_runs_job", "job", "id"),
    Index("job_runs_ended", "ended_at"),
    Index("job_runs_state", "state", "id"),
    Index("job_runs_created", "created_at"),
    Index("job_runs_idle", "ended_at", sqlite_where=_IS_IDLE, postgresql_where=_IS_IDLE),
)

job_schedules = Table(
    "job_schedules",
    metadata,
    Column("job", Key, primary_key=True),
    Column("seconds", Float),
    Column("cron", Text),
    Column("paused", Boolean, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Key, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("roles", Text, nullable=False),  # with commas
    Column("engine", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("troubles", Text),  # JSON: the roles that failed lately, and why
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("subject", Key, nullable=False),
    Column("text", Text, nullable=False),
    Column("fix", Text, nullable=False),
    Column("noticed_at", Instant, nullable=False),
    Column("began_at", Instant),
    Column("clear_since", Instant),
    Column("ended_at", Instant),
    # One that has not ended for each rule and subject, whatever the number of processes.
    Index("alerts_open", "rule", "subject", unique=True, sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
    Index("alerts_ended", "ended_at"),
)

alert_messages = Table(
    "alert_messages",
    metadata,
    Column("alert", Serial, ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("event", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("error", Text),
    one_of("event", AlertEvent),
    one_of("state", MessageState),
    Index("alert_messages_due", "due_at", sqlite_where=_IS_DUE, postgresql_where=_IS_DUE),
)

undos = Table(
    "undos",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("run", Key, nullable=False),
    Column("org_id", Key, nullable=False),
    Column("plan", Key, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),  # when all of it was made due
    Column("renewed_at", Instant),  # when it was last worked on
    Column("total", Integer, nullable=False),
    Column("reached", Integer, nullable=False, server_default="0"),  # of its fields: those that were made due
    Column("counts", Text, nullable=False),  # rows of the plan by state, as JSON
    Column("left_alone", Text, nullable=False),  # what somebody has changed since, without values, as JSON
    Index("undos_run", "run", "id"),
    Index("undos_plan", "org_id", "run", "plan", unique=True),  # each plan is carried out once
    Index("undos_renewed", "renewed_at"),
)

resyncs = Table(
    "resyncs",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("entity", Key, nullable=False),
    Column("mode", Text, nullable=False),
    Column("filter", Text, nullable=False),  # JSON
    Column("priority", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("position", Key),
    Column("reached", Key),
    Column("reached_at", Instant),
    Column("batch", Text),  # the keys of the batch that was begun, as JSON
    Column("error", Text),
    Column("counts", Text, nullable=False),  # JSON
    Column("request", Key),  # the key of the form that asked for it
    one_of("mode", ResyncMode),
    one_of("priority", Priority),
    one_of("state", ResyncState),
    Index("resyncs_state", "state", "id"),
    Index("resyncs_request", "request", "entity", unique=True, sqlite_where=_IS_NAMED, postgresql_where=_IS_NAMED),
)

causes = Table(
    "causes",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("fingerprint", Key, nullable=False),
    Column("entity", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("field", Text),
    Column("source", Text),
    Column("opened_at", Instant, nullable=False),
    Column("most", Integer, nullable=False),
    Column("assignee", Key),
    Column("note", Text),
    Column("snoozed_until", Instant),
    Column("snoozed_at_count", Integer),
    Column("empty_since", Instant),
    Column("last_action", Text),
    Column("last_actor", Text),
    Column("closed_at", Instant),
    Column("closed_how", Text),
    Column("closed_by", Text),
    one_of("closed_how", ClosedHow),
    # One that is not closed for each fingerprint, whatever the number of processes.
    Index("causes_open", "fingerprint", unique=True, sqlite_where=_IS_NOT_CLOSED, postgresql_where=_IS_NOT_CLOSED),
    Index("causes_closed", "closed_at"),
)
