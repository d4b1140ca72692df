"""The tables of the API budget, as they are now. `migrations/` leads a database here."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from connector.model.api_budget import CallResult
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
