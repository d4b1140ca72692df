"""Builds queries for records of the org, and reads their rows. PURE."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from connector.model.describe import SObjectDescribe
from connector.model.inbound_change import RemoteRecord
from connector.model.observed_value import STAMP_FIELDS, author_of, read_moment

STANDARD_FIELDS = ("Id", *STAMP_FIELDS, "IsDeleted")
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
        modified_at=read_moment(row["LastModifiedDate"]),
        stamped_at=read_moment(row["SystemModstamp"]),
        modified_by=row.get("LastModifiedById"),
        author=author_of(row),
        deleted=bool(row.get("IsDeleted")),
        master=row.get(MASTER),
    )
