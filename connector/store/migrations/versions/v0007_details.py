"""Tax on top, the total that the customer was told, wishes for the delivery; rules behind holds; unknown products."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Exact

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("tax_rate", Exact))
    op.add_column("orders", sa.Column("stated_total", Exact))
    op.add_column("orders", sa.Column("ship_complete", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("orders", sa.Column("delivery_note", sa.Text))
    op.add_column("products", sa.Column("placeholder", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("holds", sa.Column("rules", sa.Text))
