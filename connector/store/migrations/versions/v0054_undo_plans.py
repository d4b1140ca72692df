"""Undos: each plan is carried out once, and how far an undo has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("undos", sa.Column("renewed_at", Instant))
    op.add_column("undos", sa.Column("reached", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE undos SET renewed_at = created_at")
    op.execute("UPDATE undos SET reached = total WHERE ended_at IS NOT NULL")
    # Two at once could carry out one plan until now.
    op.execute(
        "UPDATE undos SET plan = plan || '-' || id WHERE EXISTS (SELECT 1 FROM undos AS earlier"
        " WHERE earlier.org_id = undos.org_id AND earlier.run = undos.run AND earlier.plan = undos.plan"
        " AND earlier.id < undos.id)"
    )
    op.create_index("undos_plan", "undos", ["org_id", "run", "plan"], unique=True)
    op.drop_index("undos_ended", "undos")
    op.create_index("undos_renewed", "undos", ["renewed_at"])
