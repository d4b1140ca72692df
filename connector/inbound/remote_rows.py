"""Builds queries for records of the org, and reads their rows. PURE."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from connector.model.describe import SObjectDescribe
from connector.model.inbound_change import RemoteRecord

AUTHOR_NAME = "LastModifiedBy.Name"
STANDARD_FIELDS = ("Id", "SystemModstamp", "LastModifiedById", AUTHOR_NAME, "IsDeleted")
MASTER = "MasterRecordId"
"""On objects whose records can be merged: the record that took its place."""


def query_fields(mapped: Iterable[str], describe: SObjectDescribe) -> tuple[str, ...]:
    """What is asked for of each record: what every object has, and the mapped fields that the org has."""
    visible = [name for name in dict.fromkeys(mapped) if name in describe.fields]
    master = (MASTER,) if MASTER in describe.fields else ()
    return (*STANDARD_FIELDS, *master, *(name for name in visible if name not in {*STANDARD_FIELDS, MASTER}))


def read_row(sobject: str, row: Mapping[str, Any], fields: Collection[str], *, read_at: datetime) -> RemoteRecord:
    """The record of a row that was asked for by `query_fields`."""
    return RemoteRecord(
        sobject=sobject,
        id=str(row["Id"]),
        fields={name: row[name] for name in fields if name not in STANDARD_FIELDS and name in row},
        read_at=read_at,
        modified_at=read_moment(row["SystemModstamp"]),
        modified_by=row.get("LastModifiedById"),
        author=author_of(row),
        deleted=bool(row.get("IsDeleted")),
        master=row.get(MASTER),
    )


def author_of(row: Mapping[str, Any]) -> str | None:
    """Who changed a record last, for a person to read: `Jo Doe (005…)`, or the ID alone. A query nests the name in its
    parent; a bulk query has a column for it."""
    parent, user = row.get("LastModifiedBy"), row.get("LastModifiedById")
    name = parent.get("Name") if isinstance(parent, Mapping) else row.get(AUTHOR_NAME)
    return f"{name} ({user})" if name else user


def read_moment(text: str) -> datetime:
    """A time as the REST API has it (`2026-01-31T10:00:00.000+0000`)."""
    return datetime.fromisoformat(text).astimezone(UTC)
