"""The tables of the current schema. `migrations/` upgrades a database to it; a test checks that both are equal."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    false,
    text,
)

from connector.model.actions import EventKind
from connector.model.change import ChangeState
from connector.model.holds import Hold
from connector.model.notification import MessageKind, MessageState
from connector.model.order_header import HEADER_FIELDS
from connector.model.shipments import ReturnStatus, ShipmentStatus
from connector.model.stage import Stage
from connector.store.constraints import amount as _amount
from connector.store.constraints import at_most as _at_most
from connector.store.constraints import one_of as _one_of
from connector.store.constraints import transitions as _transitions
from connector.store.header_columns import header_column
from connector.store.types import Exact, Instant, Key, Serial

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "ck": "%(table_name)s_%(constraint_name)s_ck",
        "uq": "%(table_name)s_%(column_0_name)s_uq",
    }
)

HAS_RUN = text("run IS NOT NULL")
_HAS_EMAIL, _HAS_PHONE = text("email_key IS NOT NULL"), text("phone_key IS NOT NULL")
_HAS_PO, _HAS_TRACKING = text("po_number IS NOT NULL"), text("tracking_number IS NOT NULL")
_HAS_STATUS, IS_HELD, _NAMED = text("status IS NOT NULL"), text("held IS NOT NULL"), text("request IS NOT NULL")
"""Conditions of partial indexes: only few events, say, have an idempotency key, and the others need no index entry."""

customers = Table(
    "customers",
    metadata,
    Column("number", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("phone", Text),
    Column("street", Text),
    Column("city", Text),
    Column("state", Text),
    Column("postal_code", Text),
    Column("country", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("tier", Text),
    Column("credit_limit", Exact),
    Column("payment_terms", Text),
    Column("version", BigInteger, nullable=False, default=1),
    Column("updated_at", Instant, nullable=False),
)

customer_searches = Table(
    "customer_searches",
    metadata,
    Column("customer", Key, primary_key=True),
    Column("email_key", Key),  # as they are searched for, see model.search_keys
    Column("phone_key", Key),
    Index("customer_searches_email_key", "email_key", sqlite_where=_HAS_EMAIL, postgresql_where=_HAS_EMAIL),
    Index("customer_searches_phone_key", "phone_key", sqlite_where=_HAS_PHONE, postgresql_where=_HAS_PHONE),
)

customer_words = Table(
    "customer_words",
    metadata,
    Column("customer", Key, primary_key=True),
    Column("word", Key, primary_key=True),  # of its name, see model.search_keys
    Index("customer_words_word", "word", "customer"),
)

customer_orgs = Table(
    "customer_orgs",
    metadata,
    Column("customer", Key, primary_key=True),
    Column("org", Key, nullable=False),  # the name of the org that has the account; without a row, the default org
)

products = Table(
    "products",
    metadata,
    Column("sku", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("active", Boolean, nullable=False),
    Column("placeholder", Boolean, nullable=False, server_default=false()),  # an order refers to it, but it is unknown
    Column("version", BigInteger, nullable=False, default=1),
    Column("updated_at", Instant, nullable=False),
)

prices = Table(
    "prices",
    metadata,
    Column("sku", Key, ForeignKey("products.sku"), primary_key=True),
    Column("currency", Key, primary_key=True),
    Column("unit_price", Exact, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    *(header_column(name) for name in HEADER_FIELDS),
    Column("customer", Key, ForeignKey("customers.number"), nullable=False),
    Column("stage", Text, nullable=False),
    Column("version", BigInteger, nullable=False, default=1),
    Column("updated_at", Instant, nullable=False),
    Column("events", Integer, nullable=False, server_default="0"),  # length of its history; 0: only imported
    _amount("invoiced"),
    _amount("authorized"),
    _amount("captured"),
    _amount("refunded"),
    Column("declined", Boolean, nullable=False, server_default=false()),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("tracking_key", Key),  # the secret in the customer's tracking link
    Column("placed_digest", Text),  # of what the caller sent, keyed with the tracking key
    Column("invoice_number", Text),  # the latest
    _one_of("stage", Stage),
    Index("orders_customer", "customer"),
    Index("orders_stage", "stage", "number"),
    Index("orders_placed", "placed_at", "number"),
    Index("orders_tracking_key", "tracking_key", unique=True),
    Index("orders_po_number", "po_number", sqlite_where=_HAS_PO, postgresql_where=_HAS_PO),
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_number", Key, ForeignKey("orders.number"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sku", Key, ForeignKey("products.sku"), nullable=False),
    Column("quantity", Exact, nullable=False),
    Column("unit_price", Exact),
    Column("discount", Exact, nullable=False),
    *(_amount(name) for name in ("allocated", "picked", "shipped", "delivered", "returned", "canceled", "credited")),
    _at_most("allocated", "quantity"),
    _at_most("picked", "allocated"),
    _at_most("shipped", "picked"),
    _at_most("delivered", "shipped"),
    _at_most("returned", "delivered"),
    _at_most("credited", "returned"),
    _at_most("canceled", "quantity"),
)

order_events = Table(
    "order_events",
    metadata,
    Column("order_number", Key, ForeignKey("orders.number"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("stage_before", Text),
    Column("stage_after", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("request", Key),  # the idempotency key of its command
    Column("request_digest", Key),  # the digest of its command
    _one_of("event", EventKind),
    _transitions(),
    Index("order_events_request", "order_number", "request", unique=True, sqlite_where=_NAMED, postgresql_where=_NAMED),
)

holds = Table(
    "holds",
    metadata,
    Column("order_number", Key, ForeignKey("orders.number"), primary_key=True),
    Column("reason", Key, primary_key=True),
    Column("since", Instant, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("rules", Text),  # the verification rules that placed it
    Column("note", Text),
    Column("escalated_at", Instant),
    _one_of("reason", Hold),
)

shipments = Table(
    "shipments",
    metadata,
    Column("order_number", Key, ForeignKey("orders.number"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("status", Text, nullable=False),
    Column("warehouse", Key),  # where it leaves from; NULL if its goods come from several
    Column("carrier", Text),
    Column("tracking_number", Key),
    Column("shipped_on", Date),
    Column("delivered_on", Date),
    Column("lines", Text, nullable=False),
    _one_of("status", ShipmentStatus),
    Index("shipments_tracking_number", "tracking_number"),
)

returns = Table(
    "returns",
    metadata,
    Column("order_number", Key, ForeignKey("orders.number"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("resolution", Text, nullable=False),
    Column("carrier", Text),
    Column("tracking_number", Key),
    Column("requested_on", Date),
    Column("lines", Text, nullable=False),
    _one_of("status", ReturnStatus),
    Index("returns_tracking_number", "tracking_number", sqlite_where=_HAS_TRACKING, postgresql_where=_HAS_TRACKING),
)

stock = Table(
    "stock",
    metadata,
    Column("sku", Key, ForeignKey("products.sku"), primary_key=True),
    Column("warehouse", Key, primary_key=True),
    Column("on_hand", Exact, nullable=False),
    Column("reserved", Exact, nullable=False),
    Column("since", Date),  # when the oldest goods arrived
    _at_most("reserved", "on_hand"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("order_number", Key, primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("warehouse", Key, primary_key=True),
    Column("quantity", Exact, nullable=False),
    _amount("picked"),
    _at_most("picked", "quantity"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("entity", Key, primary_key=True),
    Column("key", Key, primary_key=True),
    Column("org", Key, primary_key=True, server_default=""),  # the name of the org that it is for
    Column("slot", Integer, nullable=False),
    Column("lane", SmallInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("captured_at", Instant, nullable=False),
    Column("error", Text),
    Column("refused_at", Instant),
    Column("refusal", Text),
    Column("unsure", Boolean, nullable=False, server_default=false()),
    Column("begun", Integer, nullable=False, server_default="0"),  # sends since the last recorded answer
    Column("sent", Text),  # what was sent of shared fields since then, as JSON
    Column("run", Key),  # the run that made it due, if one did
    Column("restores", Text),  # former values that are to be put back, as JSON
    _one_of("state", ChangeState),
    Index("outbox_due", "state", "org", "due_at"),
    Index("outbox_run", "run", sqlite_where=HAS_RUN, postgresql_where=HAS_RUN),
    # In the sequence in which a drain claims changes, so that a claim reads only its batch.
    Index("outbox_claim", "state", "org", "entity", "lane", "captured_at", "key"),
)

links = Table(
    "links",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("entity", Key, primary_key=True),
    Column("key", Key, primary_key=True),
    Column("parent", Key),  # the order of a line, the product of a price
    Column("sobject", Text, nullable=False),
    Column("salesforce_id", Key, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("held", Text),  # values of ours that were undone, by field, as JSON
    Column("synced_at", Instant, nullable=False),
    Column("status", Key),  # the Status of the snapshot, of an order
    Index("links_parent", "org_id", "entity", "parent"),
    Index("links_held", "org_id", "entity", "key", sqlite_where=IS_HELD, postgresql_where=IS_HELD),
    Index("links_salesforce_id", "org_id", "salesforce_id", unique=True),  # a record belongs to one entity
    Index("links_status", "org_id", "status", "key", sqlite_where=_HAS_STATUS, postgresql_where=_HAS_STATUS),
)

DISCARDED = text("action = 'discarded'")
"""A constant and no parameter, so that SQLite uses the partial index."""
HAS_ACTOR = text("actor IS NOT NULL")
HAS_FIELDS = text("fields IS NOT NULL")

journal = Table(
    "journal",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("entity", Key, nullable=False),
    Column("key", Key, nullable=False),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("org_id", Key),  # NULL if it concerns no org
    Column("actor", Key),  # the person or program that did it; NULL if the service did it by itself
    Column("request", Text),  # the ID of the HTTP request by which it was asked for
    Column("fields", Text),  # what was sent or merged, as JSON; deleted earlier than the entry
    Column("run", Key),  # the run that it belongs to, if any
    Index("journal_entity", "entity", "key", "id"),
    Index("journal_actor", "id", sqlite_where=HAS_ACTOR, postgresql_where=HAS_ACTOR),
    Index("journal_fields", "at", sqlite_where=HAS_FIELDS, postgresql_where=HAS_FIELDS),
    Index("journal_run", "run", "id", sqlite_where=HAS_RUN, postgresql_where=HAS_RUN),
    Index("journal_discarded", "entity", "key", sqlite_where=DISCARDED, postgresql_where=DISCARDED),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Key, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Key, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

invoices = Table(
    "invoices",
    metadata,
    Column("number", Key, primary_key=True),
    Column("order_number", Key, ForeignKey("orders.number"), nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", Exact, nullable=False),
    Column("body", Text, nullable=False),  # its content as JSON; it never changes
    Index("invoices_order_number", "order_number"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("key", Key, nullable=False, unique=True),  # the same at every attempt; random
    Column("order_number", Key, ForeignKey("orders.number"), nullable=False),
    Column("kind", Key, nullable=False),
    Column("reference", Key, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("captured_at", Instant, nullable=False),
    Column("since", Instant, nullable=False),  # its age counts from here: its capture, or its retry by a person
    Column("due_at", Instant, nullable=False),
    Column("claim", BigInteger),  # number of the claim that sends it now, until `claimed_until`
    Column("claimed_until", Instant),
    Column("sent_at", Instant),
    Column("error", Text),
    _one_of("kind", MessageKind),
    _one_of("state", MessageState),
    Index("messages_subject", "order_number", "kind", "reference", unique=True),
    Index("messages_due", "state", "due_at", "id"),
)

orgs = Table(
    "orgs",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("login_url", Text, nullable=False),
    Column("instance_url", Text, nullable=False),
    Column("seen_at", Instant, nullable=False),  # when it first answered at these addresses, or again after another org
    Column("active", Boolean, nullable=False),  # whether the database works with it now
    Column("name", Key, nullable=False, server_default=""),  # from the settings; empty for the default org
)

org_catalog = Table(
    "org_catalog",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("fetched_at", Instant, nullable=False),
    Column("body", Text, nullable=False),
)

outages = Table(
    "outages",
    metadata,
    Column("name", Key, primary_key=True),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("fix", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Instant, nullable=False),
)
