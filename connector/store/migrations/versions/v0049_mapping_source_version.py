"""Sources of mapping files: the version that their files were, not only its digest, which a roll-back repeats."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mapping_sources", sa.Column("number", sa.Integer))
    # A source with a problem may have an edit that waits for a person: it stays without a version.
    op.execute(
        "UPDATE mapping_sources SET number = (SELECT max(number) FROM mapping_versions"
        " WHERE mapping_versions.digest = mapping_sources.digest) WHERE problem IS NULL"
    )
