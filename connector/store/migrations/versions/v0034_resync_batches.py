"""The keys of the batch of a resync that was begun: what the filter chooses can change before it is finished.

Also indexes by which runs of jobs are found by state and time, and idle ones by age."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("resyncs", sa.Column("batch", sa.Text))
    op.create_index("job_runs_state", "job_runs", ["state", "id"])
    op.create_index("job_runs_created", "job_runs", ["created_at"])
    where = sa.text("idle")
    op.create_index("job_runs_idle", "job_runs", ["ended_at"], sqlite_where=where, postgresql_where=where)
