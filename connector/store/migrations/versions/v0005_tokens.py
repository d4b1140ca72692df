"""Tokens for the HTTP API: who may come in, never what they carry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("name", Key),
        sa.Column("digest", Key, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant),
        sa.Column("revoked_at", Instant),
        sa.Column("used_at", Instant),
        sa.PrimaryKeyConstraint("name", name="tokens_pk"),
        sa.UniqueConstraint("digest", name="tokens_digest_uq"),
        sa.CheckConstraint("role IN ('viewer', 'ops', 'admin')", name=op.f("tokens_role_ck")),
    )
