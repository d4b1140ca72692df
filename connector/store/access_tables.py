"""The tables of those who may use the service, as they are now. `migrations/` leads a database here."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, Text

from connector.model.role import Role
from connector.store.constraints import one_of
from connector.store.tables import metadata
from connector.store.types import Instant, Key

tokens = Table(
    "tokens",
    metadata,
    Column("name", Key, primary_key=True),
    Column("digest", Key, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("used_at", Instant),
    one_of("role", Role),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("digest", Key, primary_key=True),
    Column("token", Key, ForeignKey("tokens.name", ondelete="CASCADE")),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("person", Key),
    Column("role", Text),
    Column("issuer", Text),
    one_of("role", Role),
    CheckConstraint("(token IS NULL) = (person IS NOT NULL)", name="whose"),
    Index("console_sessions_expires", "expires_at"),
    Index("console_sessions_person", "person"),
)
