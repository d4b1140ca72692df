"""Runs of the service's jobs, and what a person changed of their schedules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_runs",
        sa.Column("id", Serial, primary_key=True),
        sa.Column("job", Key, nullable=False),
        sa.Column("slot", Instant),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("actor", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("started_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("expires_at", Instant),
        sa.Column("idle", sa.Boolean, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("fix", sa.Text),
        sa.CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'interrupted')", name="state"),
        sa.CheckConstraint("cause IN ('schedule', 'request', 'restart')", name="cause"),
    )
    op.create_index("job_runs_slot", "job_runs", ["job", "slot"], unique=True)
    for state in ("running", "waiting"):
        where = sa.text(f"state = '{state}'")
        op.create_index(
            f"job_runs_{state}", "job_runs", ["job"], unique=True, sqlite_where=where, postgresql_where=where
        )
    op.create_index("job_runs_job", "job_runs", ["job", "id"])
    op.create_index("job_runs_ended", "job_runs", ["ended_at"])
    op.create_table(
        "job_schedules",
        sa.Column("job", Key, primary_key=True),
        sa.Column("seconds", sa.Float),
        sa.Column("cron", sa.Text),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
    )
