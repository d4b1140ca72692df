"""Actions keep the caller's own ID of the request, and the service level that was asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("order_actions", sa.Column("service_level", sa.Text))
    op.add_column("order_actions", sa.Column("request_id", sa.Text))
