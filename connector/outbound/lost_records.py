"""Refusals for records that are gone in the org or whose owner is unclear.

Each names the records and the command with which a person decides. PURE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.model.change import Change, EntityKind, Refusal
from connector.model.deleted_record import REFUSED_AS_DELETED
from connector.model.outcome import Duplicates, RowError
from connector.model.record import Link, MappedRecord

LINKABLE = frozenset({EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.ORDER})
"""The kinds that `connector link` accepts."""


MAX_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class GoneRecord:
    """A record that is not live. `deleted_at` is its last change in the org, which is its deletion; None if it is no
    longer visible. `master` is the record it was merged into, `master_row` that record's values if it is live."""

    sobject: str
    id: str
    deleted_at: str | None
    master: str | None = None
    master_row: Mapping[str, Any] | None = None


def rejection_for_deleted_record(change: Change, gone: GoneRecord) -> Refusal:
    entity = f"{change.entity} {change.key}"
    what = f"{gone.sobject} {gone.id} of {entity}"
    recreate = f"`connector resync {entity} --recreate` makes a new one"
    other = f", or `connector link {entity} RECORD-ID` names another" if change.entity in LINKABLE else ""
    if gone.deleted_at is None:
        message = f"{what} is not in the org any more, nor in its recycle bin, or the connector's user may not see it."
        fix = f"Check that the connector's user may see it. If it is gone: {recreate}{other}."
    else:
        message = f"{what} was deleted in the org ({gone.deleted_at[:19].replace('T', ' ')} UTC)."
        fix = f"Take it out of the org's recycle bin, then replay; or {recreate}{other}."
    return _refusal(REFUSED_AS_DELETED, message, fix, entity)


def rejection_for_deleted_line(order: Change, line: MappedRecord, link: Link) -> Refusal:
    """A line is missing from an order that the org still has. Lines do not go through the recycle bin."""
    return _refusal(
        REFUSED_AS_DELETED,
        f"{link.sobject} {link.salesforce_id} of line {line.key} was deleted in the org.",
        f"`connector resync {order.entity} {order.key} --recreate` creates it again; or remove this line.",
        f"line {line.key}",
    )


def rejection_for_merged_record(change: Change, gone: GoneRecord, why_not: str) -> Refusal:
    """`why_not` says why the surviving record cannot simply take its place."""
    entity = f"{change.entity} {change.key}"
    return _refusal(
        "RECORD_MERGED",
        f"{gone.sobject} {gone.id} of {entity} was merged in the org into {gone.master}, which {why_not}.",
        f"If that record shall be {entity}: `connector link {entity} {gone.master} --force`. If it shall have one of"
        f" its own: `connector resync {entity} --recreate`.",
        entity,
    )


def rejection_for_key_on_another_record(change: Change, sobject: str, field: str, linked: str, keyed: str) -> Refusal:
    """The linked record exists, but a second record has our key."""
    entity = f"{change.entity} {change.key}"
    return _refusal(
        "KEY_ON_ANOTHER_RECORD",
        f"{entity} is linked to {sobject} {linked}, but another record, {keyed}, has its key in {field}.",
        f"Merge the two in the org, or empty {field} of {keyed}, then replay. If {keyed} is the right one:"
        f" `connector unlink {entity}`, then `connector link {entity} {keyed}`.",
        entity,
    )


def rejection_for_key_on_several_records(change: Change, sobject: str, field: str, records: Sequence[str]) -> Refusal:
    entity = f"{change.entity} {change.key}"
    return _refusal(
        "DUPLICATE_EXTERNAL_ID",
        f"Several records of {sobject} have the key of {entity}: {', '.join(sorted(records)[:5])}.",
        f"Make {field} unique in the org, leave the key on one of them, then replay.",
        entity,
    )


def rejection_for_foreign_record(change: Change, link: Link, holder: Link) -> Refusal:
    """The org found the record of `link` by key, but here it is linked to another entity."""
    entity, other = f"{link.entity} {link.key}", f"{holder.entity} {holder.key}"
    adopt = (
        f" If it is {entity}'s: `connector unlink {other}`, then `connector link {entity} {link.salesforce_id}`."
        if link.entity in set(LINKABLE) and not holder.is_part
        else ""
    )
    return _refusal(
        "LINKED_TO_ANOTHER",
        f"{link.sobject} {link.salesforce_id} has the key of {entity} in the org, but it is the record of {other}.",
        f"Somebody changed its key. The key of {other} is put back by the next push; then replay, and {entity} gets a"
        f" record of its own.{adopt}",
        entity,
    )


def rejection_for_duplicates(error: RowError, duplicates: Duplicates, record: str, *, linked: bool) -> Refusal:
    """A duplicate rule refused a record. The refusal lists the duplicates by ID only. `linked`: the entity has a record
    already."""
    duplicate_records = [f"{sobject} {record_id}".strip() for sobject, record_id in duplicates.records[:MAX_SHOWN]]
    more = f" and {len(duplicates.records) - MAX_SHOWN} more" if len(duplicates.records) > MAX_SHOWN else ""
    rule = f"The duplicate rule {duplicates.rule}" if duplicates.rule else "A duplicate rule of the org"
    entity = record.partition(" ")[0]
    adopt = (
        f"If it is the same, `connector link {record} {duplicates.records[0][1]}` adopts it"
        if len(duplicates.records) == 1
        else f"If one of them is the same, `connector link {record} RECORD-ID` adopts it"
    )
    if linked or entity not in set(LINKABLE):
        adopt = "If it is the same, merge the two in the org"
    return _refusal(
        "DUPLICATES_DETECTED",
        f"{rule} found {', '.join(duplicate_records)}{more}: {error.message.strip()}",
        f"{adopt}. If not, have the rule except the connector's user, or, for a rule that only alerts, set"
        " CONNECTOR_SALESFORCE__DUPLICATE_RULES=allow; then replay.",
        record,
    )


def _refusal(code: str, message: str, fix: str, record: str) -> Refusal:
    return Refusal(code=code, message=message, field=None, source=None, fix=fix, record=record)
