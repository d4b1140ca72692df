"""The journal says which run a write belongs to, and outbox and inbox which run something waits for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Key

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("journal", sa.Column("run", Key))
    where = sa.text("run IS NOT NULL")
    op.create_index("journal_run", "journal", ["run", "id"], sqlite_where=where, postgresql_where=where)
    op.add_column("outbox", sa.Column("run", Key))
    op.add_column("inbox", sa.Column("run", Key))
