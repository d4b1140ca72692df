"""What reps own: a comment on orders, and the payment terms of customers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("rep_comment", sa.Text))
    op.add_column("customers", sa.Column("payment_terms", sa.Text))
