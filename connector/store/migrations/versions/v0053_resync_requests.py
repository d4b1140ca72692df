"""Resyncs: the key of the form that asked for one, so that the same form asks once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Key

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("resyncs", sa.Column("request", Key))
    named = sa.text("request IS NOT NULL")
    op.create_index(
        "resyncs_request", "resyncs", ["request", "entity"], unique=True, sqlite_where=named, postgresql_where=named
    )
