"""Sessions of the console of people whom a provider of OpenID Connect knows, beside those of tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Key

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("console_sessions") as batch:  # SQLite copies the table to let a column be empty
        batch.alter_column("token", existing_type=Key, nullable=True)
        batch.add_column(sa.Column("person", Key))
        batch.add_column(sa.Column("role", sa.Text))
        batch.add_column(sa.Column("issuer", sa.Text))
        batch.create_check_constraint(op.f("console_sessions_role_ck"), "role IN ('viewer', 'ops', 'admin')")
        batch.create_check_constraint(op.f("console_sessions_whose_ck"), "(token IS NULL) = (person IS NOT NULL)")
    op.create_index("console_sessions_person", "console_sessions", ["person"])
