"""The first tables. A revision never imports tables.py: it must do tomorrow what it did when it was released."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from connector.store.types import Exact, Instant, Key, Serial

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STAGES = "'placed', 'verified', 'confirmed', 'fulfilling', 'shipped', 'delivered', 'completed', 'cancelled'"
STATES = "'due', 'dead', 'blocked'"


def upgrade() -> None:
    _entities()
    _sync()


def _entities() -> None:
    op.create_table(
        "customers",
        sa.Column("number", Key),
        sa.Column("name", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("email", "phone", "street", "city", "state", "postal_code", "country")),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("number", name="customers_pk"),
    )
    op.create_table(
        "products",
        sa.Column("sku", Key),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("sku", name="products_pk"),
    )
    op.create_table(
        "prices",
        sa.Column("sku", Key),
        sa.Column("currency", Key),
        sa.Column("unit_price", Exact, nullable=False),
        sa.PrimaryKeyConstraint("sku", "currency", name="prices_pk"),
        sa.ForeignKeyConstraint(["sku"], ["products.sku"], name="prices_sku_fk"),
    )
    op.create_table(
        "orders",
        sa.Column("number", Key),
        sa.Column("customer", Key, nullable=False),
        sa.Column("placed_at", Instant, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("channel", "po_number", "notes")),
        *(sa.Column(name, sa.Date) for name in ("promised_on", "shipped_on")),
        *(sa.Column(name, sa.Text) for name in ("carrier", "tracking_number")),
        sa.Column("freight", Exact),
        *(
            sa.Column(f"ship_to_{name}", sa.Text)
            for name in ("name", "street", "city", "state", "postal_code", "country")
        ),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("number", name="orders_pk"),
        sa.ForeignKeyConstraint(["customer"], ["customers.number"], name="orders_customer_fk"),
        sa.CheckConstraint(f"stage IN ({STAGES})", name=op.f("orders_stage_ck")),
    )
    op.create_index("orders_customer", "orders", ["customer"])
    op.create_table(
        "order_lines",
        sa.Column("order_number", Key),
        sa.Column("number", sa.Integer, autoincrement=False),
        sa.Column("sku", Key, nullable=False),
        sa.Column("quantity", Exact, nullable=False),
        sa.Column("unit_price", Exact),
        sa.Column("discount", Exact, nullable=False),
        sa.PrimaryKeyConstraint("order_number", "number", name="order_lines_pk"),
        sa.ForeignKeyConstraint(["order_number"], ["orders.number"], name="order_lines_order_number_fk"),
        sa.ForeignKeyConstraint(["sku"], ["products.sku"], name="order_lines_sku_fk"),
    )


def _sync() -> None:
    op.create_table(
        "outbox",
        sa.Column("entity", Key),
        sa.Column("key", Key),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("captured_at", Instant, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("refused_at", Instant),
        sa.Column("refusal", sa.Text),
        sa.PrimaryKeyConstraint("entity", "key", name="outbox_pk"),
        sa.CheckConstraint(f"state IN ({STATES})", name=op.f("outbox_state_ck")),
    )
    op.create_index("outbox_due", "outbox", ["state", "due_at"])
    op.create_index("outbox_claim", "outbox", ["state", "entity", "lane", "captured_at", "key"])
    op.create_table(
        "links",
        sa.Column("org_id", Key),
        sa.Column("entity", Key),
        sa.Column("key", Key),
        sa.Column("parent", Key),
        sa.Column("sobject", sa.Text, nullable=False),
        sa.Column("salesforce_id", Key, nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("synced_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "entity", "key", name="links_pk"),
    )
    op.create_index("links_parent", "links", ["org_id", "entity", "parent"])
    op.create_index("links_salesforce_id", "links", ["org_id", "salesforce_id"])
    op.create_table(
        "journal",
        sa.Column("id", Serial),
        sa.Column("at", Instant, nullable=False),
        *(sa.Column(name, Key, nullable=False) for name in ("entity", "key")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("action", "detail")),
        sa.PrimaryKeyConstraint("id", name="journal_pk"),
    )
    op.create_index("journal_entity", "journal", ["entity", "key", "id"])
    op.create_table(
        "leases",
        sa.Column("name", Key),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name="leases_pk"),
    )
    op.create_table(
        "org_catalog",
        sa.Column("org_id", Key),
        sa.Column("fetched_at", Instant, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("org_id", name="org_catalog_pk"),
    )
