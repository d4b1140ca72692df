"""Reads fields of the org that nothing here knows, before they are written: after a mapping has got a field.

What they hold is kept with the write, so that an undo can put it back. A value that stands there already is not sent.
It takes a query for some hundred records, once: from then on the links know the field. Shared fields are not read here,
because `shared_field_look` does that, and somebody else's value is then decided about.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from connector.model.describe import FieldDescribe
from connector.model.field_equality import prefer_ours_if_equal
from connector.model.record import LAST_SYNCED, SYNC_MESSAGE, FieldValue, Link, MappedRecord, changed_fields
from connector.outbound.frozen_fields import SET_ONCE
from connector.outbound.org_profile import OrgProfile
from connector.outbound.org_state import Reader
from connector.outbound.plan_types import PendingEntity
from connector.outbound.shared_fields import link_of
from connector.salesforce.query import in_chunks

_BY_ID = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE Id IN {values}"
_OWN = frozenset({SYNC_MESSAGE, LAST_SYNCED, "Status"})


def unknown_fields(record: MappedRecord, link: Link, fields: Mapping[str, FieldDescribe]) -> frozenset[str]:
    """The fields that would be written without knowing what the org holds."""
    names = (record.fields.keys() - link.snapshot.keys() - record.shared) & fields.keys()
    return frozenset(names - SET_ONCE - _OWN - {record.external_id})


def has_unknown_fields(pending: PendingEntity, profile: OrgProfile) -> bool:
    return any(_list_unknown(pending, profile))


async def read_former_values(
    reader: Reader, pending_entities: Sequence[PendingEntity], profile: OrgProfile
) -> dict[str, PendingEntity]:
    """These entities, all of one kind, with what the org holds in their links, by key."""
    found: dict[str, dict[str, tuple[MappedRecord, frozenset[str]]]] = {}
    for pending in pending_entities:
        for record, link, names in _list_unknown(pending, profile):
            found.setdefault(record.sobject, {})[link.salesforce_id] = record, names
    values: dict[str, Mapping[str, FieldValue]] = {}
    for sobject, by_id in found.items():
        fields = profile.describes[sobject].fields
        async for row in read_rows(reader, sobject, {record_id: names for record_id, (_, names) in by_id.items()}):
            record, names = by_id[str(row["Id"])]
            values[str(row["Id"])] = {
                name: prefer_ours_if_equal(row[name], record.fields[name], fields[name]) for name in names
            }
    return {item.change.key: _with_values(item, values) for item in pending_entities}


def equal_links(before: PendingEntity, known: Mapping[str, PendingEntity]) -> Iterator[Link]:
    """The links whose records hold our values in everything that was read: nothing of that is sent, so they are stored
    now."""
    after = known.get(before.change.key)
    if after is None or after.record is None:
        return
    for part in (after.record, *after.record.children):
        former, link = link_of(before, part), link_of(after, part)
        if former is None or link is None:
            continue
        names = link.snapshot.keys() - former.snapshot.keys()
        if names and not changed_fields({name: part.fields[name] for name in names}, link.snapshot):
            yield link


async def read_rows(
    reader: Reader, sobject: str, wanted: Mapping[str, frozenset[str]]
) -> AsyncIterator[dict[str, Any]]:
    """The rows of these records, by ID, with all of these fields."""
    columns = ", ".join(sorted(frozenset().union(*wanted.values())))
    for query in in_chunks(_BY_ID, sorted(wanted), columns=columns, sobject=sobject):
        for row in await reader.query(query):
            yield row


def _list_unknown(pending: PendingEntity, profile: OrgProfile) -> Iterator[tuple[MappedRecord, Link, frozenset[str]]]:
    record = pending.record
    if record is None or pending.link is None:
        return
    for part in (record, *record.children):
        link, describe = link_of(pending, part), profile.describes.get(part.sobject)
        if link is not None and describe is not None and (names := unknown_fields(part, link, describe.fields)):
            yield part, link, names


def _with_values(pending: PendingEntity, values: Mapping[str, Mapping[str, FieldValue]]) -> PendingEntity:
    def extend(link: Link) -> Link:
        return replace(link, snapshot={**link.snapshot, **values.get(link.salesforce_id, {})})

    assert pending.link is not None
    lines = {key: extend(link) for key, link in pending.line_links.items()}
    return replace(pending, link=extend(pending.link), line_links=lines)
