"""The table of order lines that wait for stock, as it is now. `migrations/` leads a database here."""

from __future__ import annotations

from sqlalchemy import Column, Date, Index, Integer, Table

from connector.store.tables import metadata
from connector.store.types import Exact, Instant, Key

waiting_lines = Table(
    "waiting_lines",
    metadata,
    Column("order_number", Key, primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("sku", Key, nullable=False),
    Column("quantity", Exact, nullable=False),  # neither canceled nor allocated
    # What is urgent comes first in ascending order of these: the negative priority, the promised day (the latest
    # there is without one), and when the order was placed.
    Column("rank", Integer, nullable=False),
    Column("promised_by", Date, nullable=False),
    Column("placed_at", Instant, nullable=False),
    # The quantity is in it, so that a product is counted by its index alone.
    Index("waiting_lines_urgency", "sku", "rank", "promised_by", "placed_at", "order_number", "line", "quantity"),
)
