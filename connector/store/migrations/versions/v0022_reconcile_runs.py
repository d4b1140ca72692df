"""Runs of the reconciliation, and what they found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key, Serial

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reconcile_runs",
        sa.Column("id", Serial, primary_key=True),
        sa.Column("org_id", Key, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("full", sa.Boolean, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("finished_at", Instant),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("healed", sa.Integer, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.CheckConstraint("state IN ('running', 'finished', 'stopped')", name="state"),
    )
    op.create_index("reconcile_runs_org", "reconcile_runs", ["org_id", "id"])
    op.create_table(
        "reconcile_findings",
        sa.Column("run", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("entity", Key, nullable=False),
        sa.Column("key", Key),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("sobject", sa.Text, nullable=False),
        sa.Column("record_id", Key),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run", "number", name="reconcile_findings_pk"),
        sa.ForeignKeyConstraint(["run"], ["reconcile_runs.id"], name="reconcile_findings_run_fk"),
    )
