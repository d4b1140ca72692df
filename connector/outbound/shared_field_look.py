"""Looks at records in the org before shared fields of them are sent: one query for some hundred records."""

from __future__ import annotations

from collections.abc import Sequence

from connector.model.observed_value import STAMP_FIELDS, observe
from connector.model.record import Link, MappedRecord
from connector.outbound.org_profile import OrgProfile
from connector.outbound.org_state import Reader
from connector.outbound.plan_types import PendingEntity
from connector.outbound.shared_fields import ChangedFields, fields_changed_in_org, link_of, shared_fields_to_send
from connector.salesforce.query import in_chunks

_BY_ID = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE Id IN {values}"


async def read_changed_fields(
    reader: Reader, pending_entities: Sequence[PendingEntity], profile: OrgProfile
) -> dict[str, ChangedFields]:
    """The shared fields that these entities, all of one kind and linked, are about to send and that somebody else has
    changed in the org, by key."""
    changed: dict[str, ChangedFields] = {}
    looks: dict[str, dict[str, tuple[PendingEntity, MappedRecord, Link]]] = {}
    for item in pending_entities:
        for record, link in records_to_look_at(item):
            looks.setdefault(record.sobject, {})[link.salesforce_id] = (item, record, link)
    for sobject, by_id in looks.items():
        fields = profile.describes[sobject].fields
        names = sorted(frozenset().union(*(record.shared for _, record, _ in by_id.values())) & fields.keys())
        columns = ", ".join([*STAMP_FIELDS, *names])
        for query in in_chunks(_BY_ID, sorted(by_id), columns=columns, sobject=sobject):
            for row in await reader.query(query):
                item, record, link = by_id[str(row["Id"])]
                differing = fields_changed_in_org(record, link.snapshot, row, fields)
                observed = observe(shared_fields_to_send(record, link) & differing, row)
                before = changed.get(item.change.key, ChangedFields())
                changed[item.change.key] = before.with_record(item, record, link.salesforce_id, observed)
    return changed


def records_to_look_at(pending: PendingEntity) -> list[tuple[MappedRecord, Link]]:
    """The linked records of an entity, its own and those of its lines, of which shared fields are about to be sent."""
    record = pending.record
    if record is None or pending.link is None:
        return []
    linked = [(part, link_of(pending, part)) for part in (record, *record.children) if part.shared]
    return [(part, link) for part, link in linked if link is not None and shared_fields_to_send(part, link)]
