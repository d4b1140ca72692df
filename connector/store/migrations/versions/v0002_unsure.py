"""What was sent and not yet answered for is remembered by itself, whatever is captured meanwhile."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("unsure", sa.Boolean, nullable=False, server_default=sa.false()))
    # Until now an attempt behind a change said so.
    op.execute("UPDATE outbox SET unsure = true WHERE attempts > 0")
