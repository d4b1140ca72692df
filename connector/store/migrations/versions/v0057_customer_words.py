"""Customers are found by the words of their name, through an index, without capital letters and accents.

They are filled page by page afterwards (`connector.store.derived_rows`)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Key

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customer_words",
        sa.Column("customer", Key, nullable=False),
        sa.Column("word", Key, nullable=False),
        sa.PrimaryKeyConstraint("customer", "word", name="customer_words_pk"),
    )
    op.create_index("customer_words_word", "customer_words", ["word", "customer"])
