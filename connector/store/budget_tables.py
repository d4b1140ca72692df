"""The tables of the API budget and of delays, as they are now. `migrations/` leads a database here."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from connector.model.api_budget import CallResult
from connector.model.sync_delay import Direction
from connector.store.constraints import one_of
from connector.store.tables import metadata
from connector.store.types import Instant, Key

api_calls = Table(
    "api_calls",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("hour", Instant, primary_key=True),
    Column("lane", Integer, primary_key=True, autoincrement=False),
    Column("result", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    one_of("result", CallResult),
)
api_budgets = Table(
    "api_budgets",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("lowest_lane", Integer),
    Column("since", Instant),
    Column("used", BigInteger),
    Column("allowed", BigInteger),
    Column("observed_at", Instant),
    Column("looked_at", Instant),
)
sync_delays = Table(
    "sync_delays",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("slot", Instant, primary_key=True),
    Column("direction", Text, primary_key=True),
    Column("kind", Key, primary_key=True),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("changes", BigInteger, nullable=False),
    one_of("direction", Direction),
)
