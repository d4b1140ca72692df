"""What people search for: the status of an order in the org, email and phone of a customer in one spelling, and indexes
for numbers of purchase orders and of parcels that come back.

They are filled page by page afterwards (`connector.store.derived_rows`): here that would lock the table of links for as
long as it takes. Email and phone have a table of their own, so that customers are not locked at all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("links", sa.Column("status", key))
    where = sa.text("status IS NOT NULL")
    op.create_index("links_status", "links", ["org_id", "status", "key"], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "customer_searches",
        sa.Column("customer", key, nullable=False),
        sa.Column("email_key", key),
        sa.Column("phone_key", key),
        sa.PrimaryKeyConstraint("customer", name="customer_searches_pk"),
    )
    for name in ("email_key", "phone_key"):
        where = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"customer_searches_{name}", "customer_searches", [name], sqlite_where=where, postgresql_where=where
        )
    where = sa.text("po_number IS NOT NULL")
    op.create_index("orders_po_number", "orders", ["po_number"], sqlite_where=where, postgresql_where=where)
    where = sa.text("tracking_number IS NOT NULL")
    columns = ["tracking_number"]
    op.create_index("returns_tracking_number", "returns", columns, sqlite_where=where, postgresql_where=where)
