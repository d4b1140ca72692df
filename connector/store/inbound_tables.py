"""The tables of what comes back from the org, as they are now. `migrations/` leads a database here."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text

from connector.model.change_notice import NoticeState
from connector.model.conflict import ConflictState
from connector.model.deliveries import DeliveryMode
from connector.model.inbound_change import InboxState
from connector.model.reconciliation import RunState
from connector.model.sync_message import MessageCause
from connector.store.constraints import one_of
from connector.store.tables import metadata
from connector.store.types import Instant, Key, Serial

inbox = Table(
    "inbox",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("sobject", Key, primary_key=True),
    Column("record_id", Key, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("fix", Text),
    Column("observed", Text),  # values that were seen in the record, with their times, as JSON
    Column("run", Key),  # the run that it is to be read for, if any
    one_of("state", InboxState),
    Index("inbox_due", "state", "due_at"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("name", Key, primary_key=True),
    Column("position", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("org_id", Key, nullable=False),
    Column("entity", Key, nullable=False),
    Column("key", Key, nullable=False),
    Column("field", Key, nullable=False),
    Column("sobject", Text, nullable=False),
    Column("record_id", Key, nullable=False),
    Column("state", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("local", Text, nullable=False),
    Column("remote", Text, nullable=False),
    Column("local_changed_at", Instant),
    Column("remote_changed_at", Instant),
    Column("remote_changed_by", Text),
    Column("opened_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("resolved_by", Text),
    one_of("state", ConflictState),
    Index("conflicts_entity", "org_id", "entity", "key"),
    Index("conflicts_state", "state", "id"),
)

deleted_records = Table(
    "deleted_records",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("entity", Key, primary_key=True),
    Column("key", Key, primary_key=True),
    Column("record_id", Key, nullable=False),
    Column("deleted_at", Instant, nullable=False),
    Column("deleted_by", Text),
    Column("merged_into", Key),
    Index("deleted_records_merged_into", "org_id", "merged_into"),
)

conflict_rules = Table(
    "conflict_rules",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("sobject", Key, primary_key=True),
    Column("field", Key, primary_key=True),
    Column("choice", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    one_of("choice", (ConflictState.LOCAL, ConflictState.SALESFORCE)),
)

restored_fields = Table(
    "restored_fields",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("entity", Key, primary_key=True),
    Column("key", Key, primary_key=True),
    Column("field", Key, primary_key=True),
    Column("local", Text, nullable=False),
    Column("remote", Text, nullable=False),
    Column("times", Integer, nullable=False),
    Column("restored_at", Instant, nullable=False),
)

change_notices = Table(
    "change_notices",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("message_id", Key, nullable=False),
    Column("type", Text, nullable=False),
    Column("entity", Key, nullable=False),
    Column("key", Key, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("captured_at", Instant, nullable=False),
    Column("since", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("error", Text),
    one_of("state", NoticeState),
    Index("change_notices_state", "state", "due_at"),
    Index("change_notices_entity", "entity", "key", "id"),
)

reconcile_runs = Table(
    "reconcile_runs",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("org_id", Key, nullable=False),
    Column("state", Text, nullable=False),
    Column("full", Boolean, nullable=False),  # whether everything was compared
    Column("scope", Text, nullable=False),  # the keys that were selected, by entity, as JSON
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("calls", Integer, nullable=False),
    Column("healed", Integer, nullable=False),
    Column("counts", Text, nullable=False),  # by entity and state, as JSON
    Column("fields", Text, nullable=False),  # drifted fields by `Object.Field`, as JSON
    Column("compared", Integer, nullable=False, server_default="0"),  # records so far
    Column("planned", Integer),  # records in all; NULL if they were not counted
    one_of("state", RunState),
    Index("reconcile_runs_org", "org_id", "id"),
)

reconcile_findings = Table(
    "reconcile_findings",
    metadata,
    Column("run", Serial, ForeignKey("reconcile_runs.id"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("entity", Key, nullable=False),
    Column("key", Key),
    Column("state", Text, nullable=False),
    Column("sobject", Text, nullable=False),
    Column("record_id", Key),
    Column("detail", Text, nullable=False),
    Column("fields", Text, nullable=False),  # as JSON
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("topic", Key, primary_key=True),
    Column("hour", Instant, primary_key=True),
    Column("events", BigInteger, nullable=False),
)

topic_states = Table(
    "topic_states",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("topic", Key, primary_key=True),
    Column("mode", Text, nullable=False),
    Column("since", Instant),
    Column("resume_at", Instant),
    Column("used", BigInteger),
    Column("allowed", BigInteger),
    Column("observed_at", Instant),
    Column("counted_in_hour", BigInteger),
    one_of("mode", DeliveryMode),
)

sync_messages = Table(
    "sync_messages",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("record_id", Key, primary_key=True),
    Column("source_id", Key, primary_key=True),
    Column("cause", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("told_at", Instant, nullable=False),
    one_of("cause", MessageCause),
    Index("sync_messages_source", "org_id", "source_id"),
)

field_times = Table(
    "field_times",
    metadata,
    Column("entity", Key, primary_key=True),
    Column("key", Key, primary_key=True),
    Column("attribute", Key, primary_key=True),
    Column("changed_at", Instant, nullable=False),
)
