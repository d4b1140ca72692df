"""Sessions of the console: who is signed in, and until when; and an index for its list of orders, the latest first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "console_sessions",
        sa.Column("digest", Key, nullable=False),
        sa.Column("token", Key, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="console_sessions_pk"),
        sa.ForeignKeyConstraint(["token"], ["tokens.name"], name="console_sessions_token_fk", ondelete="CASCADE"),
    )
    op.create_index("console_sessions_expires", "console_sessions", ["expires_at"])
    op.create_index("orders_placed", "orders", ["placed_at", "number"])
