"""The tables of mapping versions, as they are now. `migrations/` leads a database here."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text

from connector.model.mapping_version import Origin
from connector.store.tables import metadata
from connector.store.types import Instant, Key, Serial

mapping_versions = Table(
    "mapping_versions",
    metadata,
    Column("number", Serial, primary_key=True),  # the highest one is active
    Column("digest", Key, nullable=False),
    Column("activated_at", Instant, nullable=False),
    Column("source", Text, nullable=False),
    Column("origin", Key, nullable=False, server_default=Origin.FILES.value),
    Column("author", Key),  # who applied it; NULL if it came from edited files
    Column("note", Text),
    Column("base", Integer),  # the version that it replaced
    Index("mapping_versions_digest", "digest"),
)

mapping_contents = Table(
    "mapping_contents",
    metadata,
    Column("digest", Key, primary_key=True),
    Column("stored_at", Instant, nullable=False),
    Column("body", Text, nullable=False),  # the texts of its files by path, as JSON
)

mapping_sources = Table(
    "mapping_sources",
    metadata,
    Column("source", Key, primary_key=True),  # a folder of mapping files on a machine
    Column("digest", Key, nullable=False),  # of its files, when they were last seen valid
    Column("number", Integer),  # the version that they were while it was active; none if they were never active
    Column("seen_at", Instant, nullable=False),
    Column("problem", Text),  # why its files cannot be used, if so
)

mapping_plans = Table(
    "mapping_plans",
    metadata,
    Column("id", Key, primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("actor", Key, nullable=False),
    Column("base", Integer),  # the version that was active
    Column("digest", Key, nullable=False),  # of the files
    Column("rollback_to", Integer),  # the version whose content it is
    Column("applied_as", Integer),  # the version that it became
    Column("numbers", Text, nullable=False),  # what was computed, as JSON
    Index("mapping_plans_created", "created_at"),
)

org_baselines = Table(
    "org_baselines",
    metadata,
    Column("org_id", Key, primary_key=True),
    Column("mapping_version", Integer, nullable=False),  # the active version when it was taken
    Column("stored_at", Instant, nullable=False),
    Column("body", Text, nullable=False),  # what the org said of itself, in the form of `org_catalog`
)

mapping_drifts = Table(
    "mapping_drifts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("org_id", Key, nullable=False),
    Column("fingerprint", Key, nullable=False),  # of what it says
    Column("drift", Text, nullable=False),  # as JSON
    Column("first_seen", Instant, nullable=False),
    Column("healed_at", Instant),
    Index("mapping_drifts_org", "org_id", "healed_at"),
)

mapping_shadows = Table(
    "mapping_shadows",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("digest", Key, nullable=False),  # of the files
    Column("base", Integer, nullable=False),  # the version that was active
    Column("started_at", Instant, nullable=False),
    Column("started_by", Key, nullable=False),
    Column("note", Text),
    Column("computed", Integer, nullable=False, server_default="0"),
    Column("differing", Integer, nullable=False, server_default="0"),
    Column("ended_at", Instant),
    Column("ended_by", Key),
    Column("outcome", Key),
)

mapping_shadow_fields = Table(
    "mapping_shadow_fields",
    metadata,
    Column("shadow", Integer, ForeignKey("mapping_shadows.id", ondelete="CASCADE"), primary_key=True),
    Column("sobject", Key, primary_key=True),
    Column("field", Key, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("samples", Text, nullable=False),  # some of the values that differed, as JSON
)
