"""Comparisons: how many records one has compared so far, and how many there are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reconcile_runs", sa.Column("compared", sa.Integer, nullable=False, server_default="0"))
    op.add_column("reconcile_runs", sa.Column("planned", sa.Integer))
