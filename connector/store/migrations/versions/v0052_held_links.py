"""Links with held values, so that they can be listed and counted without looking at all links."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

IS_HELD = sa.text("held IS NOT NULL")


def upgrade() -> None:
    op.create_index("links_held", "links", ["org_id", "entity", "key"], sqlite_where=IS_HELD, postgresql_where=IS_HELD)
