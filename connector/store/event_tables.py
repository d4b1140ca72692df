"""The tables of platform events, as they are now: those to publish, and the actions that were received."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from connector.model.action_request import ActionState
from connector.model.outgoing_event import OutgoingState
from connector.store.constraints import one_of
from connector.store.tables import metadata
from connector.store.types import Instant, Key, Serial

outgoing_events = Table(
    "outgoing_events",
    metadata,
    Column("id", Serial, primary_key=True),  # in the sequence of the changes of an order, whose row is locked
    Column("org_id", Key),  # NULL: for the org that the database works with
    Column("name", Key, nullable=False),
    Column("order_number", Key, nullable=False),
    Column("event_id", Key, nullable=False),
    Column("fields", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("captured_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    one_of("state", OutgoingState),
    Index("outgoing_events_order", "name", "order_number", "id"),
)

order_actions = Table(
    "order_actions",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("event_id", Key, primary_key=True),
    Column("received_at", Instant, nullable=False),
    Column("published_at", Instant),
    Column("state", Text, nullable=False),
    Column("order_number", Key, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text),
    Column("requested_by", Text),
    Column("service_level", Text),
    Column("request_id", Text),
    Column("user_id", Text),
    Column("message", Text, nullable=False),
    one_of("state", ActionState),
    Index("order_actions_received_at", "received_at"),
)
