"""What people search for: the status of an order in the org, email and phone of a customer in one spelling, and indexes
for numbers of purchase orders and of parcels that come back.

Email and phone have a table of their own, so that this upgrade does not lock customers."""

from __future__ import annotations

from itertools import islice

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

_BATCH = 1000


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("links", sa.Column("status", key))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("UPDATE links SET status = json_extract(snapshot, '$.Status') WHERE entity = 'order'")
    else:
        op.execute(  # this database cannot read a snapshot with a null character: it gets its status when it is written
            "UPDATE links SET status = snapshot::json ->> 'Status'"
            " WHERE entity = 'order' AND position('\\u0000' IN snapshot) = 0"
        )
    where = sa.text("status IS NOT NULL")
    op.create_index("links_status", "links", ["org_id", "status", "key"], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "customer_searches",
        sa.Column("customer", key, nullable=False),
        sa.Column("email_key", key),
        sa.Column("phone_key", key),
        sa.PrimaryKeyConstraint("customer", name="customer_searches_pk"),
    )
    _fill_customers()
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


def _fill_customers() -> None:
    """As `connector.model.search_keys` at the time of this revision."""
    connection = op.get_bind()
    column = sa.table("customers", *map(sa.column, ("number", "email", "phone"))).c
    searches = sa.table("customer_searches", *map(sa.column, ("customer", "email_key", "phone_key")))
    chosen = sa.select(column.number, column.email, column.phone).order_by(column.number)
    with_either = chosen.where(sa.or_(column.email.is_not(None), column.phone.is_not(None)))
    rows = iter(connection.execute(with_either).all())
    while batch := list(islice(rows, _BATCH)):
        values = [
            {"customer": row.number, "email_key": _email(row.email), "phone_key": _phone(row.phone)} for row in batch
        ]
        connection.execute(sa.insert(searches), values)


def _email(text: str | None) -> str | None:
    return (text or "").strip().casefold() or None


def _phone(text: str | None) -> str | None:
    digits = "".join(letter for letter in text or "" if letter.isascii() and letter.isdigit())
    return digits[::-1] if len(digits) >= 5 else None
