"""An index of the changes that a person discarded, so that `connector status` finds them in a long journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

DISCARDED = sa.text("action = 'discarded'")


def upgrade() -> None:
    op.create_index(
        "journal_discarded", "journal", ["entity", "key"], sqlite_where=DISCARDED, postgresql_where=DISCARDED
    )
