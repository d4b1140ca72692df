"""Puts former values into what is sent of an entity, and leaves out values that were undone. PURE.

An undo asks the push to put a value back (`Change.restores`). It does so only if the org was last known to hold what
the undone run wrote, and if our own value has not changed since; the look at shared fields before the call
(`unconfirmed_sends`) then makes sure that the org still does. A value of ours that was undone is held (`Link.held`): it
is not sent again until it is another one, and then the hold is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from connector.model.field_equality import same_value
from connector.model.record import FieldValue, Link, MappedRecord, child_field
from connector.outbound.plan_types import PendingEntity
from connector.outbound.preflight import normalize


def with_undone_fields(pending: PendingEntity) -> PendingEntity:
    """The same entity with former values put back, and without values that are held."""
    record, link = pending.record, pending.link
    if record is None or link is None:
        return pending
    if not pending.change.restores and not link.held and not any(part.held for part in pending.line_links.values()):
        return pending
    found = _Found()
    children = []
    for child in record.children:
        part = pending.line_links.get(child.key)
        children.append(child if part is None else _changed(pending, child, part, found))
    changed = replace(_changed(pending, record, link, found), children=tuple(children))
    with_values = replace(pending, record=changed, restored=frozenset(found.restored), ended_holds=found.ended)
    return with_values.with_held_fields(found.held)


@dataclass(kw_only=True)
class _Found:
    """The names of fields of an entity and its lines that are put back or held, and the holds that are over."""

    restored: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    ended: dict[tuple[str, str], dict[str, FieldValue]] = field(default_factory=dict)


def _changed(pending: PendingEntity, record: MappedRecord, link: Link, found: _Found) -> MappedRecord:
    """The record with what is put back; the names of fields are added to `found`."""
    is_part = record is not pending.record
    put_back: dict[str, FieldValue] = {}
    for noted, restore in pending.change.restores.items():
        owner, _, name = noted.rpartition(".")
        if owner != (record.key if is_part else ""):
            continue
        expected = link.snapshot.get(name)
        is_ours = name in record.fields
        if same_value(expected, restore.value):
            continue  # it was put back, by a call whose answer was lost
        if not same_value(expected, restore.expected):
            continue
        if is_ours != restore.is_mapped or (is_ours and not same_value(_wanted(record, name), restore.local)):
            continue
        put_back[name] = restore.value
        found.restored.add(noted)
    for name, value in link.held.items():
        if name in put_back or name not in record.fields:
            continue
        if same_value(_wanted(record, name), value):
            found.held.add(child_field(record.key, name) if is_part else name)
        else:
            found.ended.setdefault((link.entity, link.key), {})[name] = value
    if not put_back:
        return record
    return replace(record, fields={**record.fields, **put_back}, shared=record.shared | put_back.keys())


def _wanted(record: MappedRecord, name: str) -> FieldValue:
    return normalize({name: record.fields[name]})[name]
