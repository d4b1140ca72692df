"""Under which name a caller asked for an event, so that asking again does nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Key

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("order_events", sa.Column("request", Key))
    op.add_column("order_events", sa.Column("request_digest", Key))
    named = sa.text("request IS NOT NULL")
    op.create_index(
        "order_events_request",
        "order_events",
        ["order_number", "request"],
        unique=True,
        sqlite_where=named,
        postgresql_where=named,
    )
