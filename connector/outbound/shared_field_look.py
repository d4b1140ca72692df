"""Looks at records in the org before shared fields of them are sent: one query for some hundred records."""

from __future__ import annotations

from collections.abc import Sequence

from connector.model.observed_value import STAMP_FIELDS, ObservedValues, observe
from connector.outbound.link_check import Reader
from connector.outbound.org_profile import OrgProfile
from connector.outbound.plan_types import PendingEntity
from connector.outbound.shared_fields import fields_changed_in_org, shared_fields_to_send
from connector.salesforce.query import in_chunks

_BY_ID = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE Id IN {values}"


async def read_changed_fields(
    reader: Reader, pending_entities: Sequence[PendingEntity], profile: OrgProfile
) -> dict[str, ObservedValues]:
    """The shared fields that these entities, all of one kind and linked, are about to send and that somebody else has
    changed in the org, by key."""
    changed: dict[str, ObservedValues] = {}
    by_id = {item.link.salesforce_id: item for item in pending_entities if item.link is not None}
    records = [item.record for item in pending_entities if item.record is not None]
    names = sorted(frozenset().union(*(record.shared for record in records)))
    fields = profile.describes[records[0].sobject].fields
    columns = ", ".join([*STAMP_FIELDS, *(name for name in names if name in fields)])
    for query in in_chunks(_BY_ID, sorted(by_id), columns=columns, sobject=records[0].sobject):
        for row in await reader.query(query):
            item = by_id[str(row["Id"])]
            assert item.record is not None
            assert item.link is not None
            sent = shared_fields_to_send(item.record, item.link)
            changed[item.change.key] = observe(
                sent & fields_changed_in_org(item.record, item.link.snapshot, row, fields), row
            )
    return changed
