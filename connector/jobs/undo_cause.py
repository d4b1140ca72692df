"""Tells what a run was asked to change from what was sent with it.

A push sends all that differs of an entity. If an entity was due for another reason as well (the order was placed,
shipped or paid meanwhile), the journal entry of the run has those changes, too, and notes that there were several. Of
such an entry, only these fields belong to the run: those to which another version of the mappings gives another value
than the version by which the entity was sent before; of an undo, those that it has put back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from connector.errors import MappingError
from connector.jobs.run_fields import Place, RunFields, WrittenField
from connector.mapping.mapper import MappingSet
from connector.mapping.version import load_texts
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.field_equality import same_value
from connector.model.record import FieldValue, Link, MappedRecord
from connector.outbound.preflight import normalize
from connector.store import mapping_versions
from connector.store.engine import Store
from connector.store.queries import run_writes

Name = tuple[str, str]
"""The kind and key of an entity."""

_PAGE = 20
"""Entities that are mapped between two looks at what else there is to do."""
_Values = Mapping[tuple[str, str, str], FieldValue]


def map_entity(mappings: MappingSet, kind: EntityKind, entity: Any, link: Link | None) -> MappedRecord | None:
    """What would be sent of an entity; None if that is nothing. Raises MappingError."""
    if isinstance(entity, Customer):
        return mappings.map_customer(entity, link)
    mapping = mappings.of(kind)
    return None if mapping is None else mapping.map(entity)


async def find_sent_with(
    store: Store,
    found: RunFields,
    undone: RunFields | None,
    entities: Mapping[Name, tuple[Any, Link | None]],
    *,
    org_id: str,
    has_persons: bool,
) -> frozenset[Place]:
    """The places that a run has written because of other changes, and those of which the cause is not known. `undone`:
    what the run that it undoes has written, if it is an undo; `has_persons`: the org has person accounts."""
    joined = [item for item in found.fields.values() if item.joined]
    if undone is not None:
        return frozenset(item.place for item in joined if not _is_put_back(item, undone))
    by_entity: dict[Name, list[WrittenField]] = {}
    for item in joined:
        by_entity.setdefault((item.entity, item.key), []).append(item)
    earlier = await _find_earlier_versions(store, org_id, by_entity)
    caused: set[Place] = set()
    loaded = await _load_mappings(store, by_entity, earlier)
    mappings = {number: version.with_persons(has_persons) for number, version in loaded.items()}
    for number, (name, items) in enumerate(by_entity.items()):
        if name in entities and name in earlier:
            kind, (entity, link) = EntityKind(name[0]), entities[name]
            versions = {item.mapping_version for item in items if item.mapping_version is not None}
            before = _values(mappings.get(earlier[name]), kind, entity, link)
            for version in versions - {earlier[name]}:
                after = _values(mappings.get(version), kind, entity, link)
                if before is not None and after is not None:
                    caused.update(item.place for item in items if _differs(item, before, after))
        if not number % _PAGE:
            await asyncio.sleep(0)
    return frozenset(item.place for item in joined) - caused


def _is_put_back(item: WrittenField, undone: RunFields) -> bool:
    former = undone.fields.get(item.place)
    return former is not None and former.has_before and same_value(item.written, former.before)


async def _find_earlier_versions(
    store: Store, org_id: str, by_entity: Mapping[Name, list[WrittenField]]
) -> dict[Name, int]:
    """The version of the mappings by which each of these was sent to the org before the run, as far as the journal has
    it."""
    found: dict[Name, int] = {}
    if not by_entity:
        return found
    first = min(item.first for items in by_entity.values() for item in items)
    async with store.reader() as connection:
        for kind in {entity for entity, _ in by_entity}:
            keys = sorted(key for entity, key in by_entity if entity == kind)
            some = await run_writes.find_earlier_versions(connection, org_id, kind, keys, before=first)
            found |= {(kind, key): version for key, version in some.items()}
    return found


async def _load_mappings(
    store: Store, by_entity: Mapping[Name, list[WrittenField]], earlier: Mapping[Name, int]
) -> dict[int, MappingSet]:
    """The versions by which they were sent, where they differ; without those that are no longer known or readable."""
    wanted: set[int] = set()
    for name, items in by_entity.items():
        versions = {item.mapping_version for item in items if item.mapping_version is not None}
        if name in earlier and versions - {earlier[name]}:
            wanted |= {earlier[name], *versions}
    loaded: dict[int, MappingSet] = {}
    async with store.reader() as connection:
        for number in sorted(wanted):
            stored = await mapping_versions.get(connection, number)
            if stored is not None and stored.texts is not None:
                try:
                    loaded[number] = (await asyncio.to_thread(load_texts, stored.texts)).mappings
                except MappingError:
                    continue  # it was valid in another release
    return loaded


def _values(mappings: MappingSet | None, kind: EntityKind, entity: Any, link: Link | None) -> _Values | None:
    """What a version would send of an entity and its lines; None if it cannot be mapped."""
    if mappings is None:
        return None
    try:
        record = map_entity(mappings, kind, entity, link)
    except MappingError:
        return None
    return dict(_fields_of(record)) if record is not None else {}


def _fields_of(record: MappedRecord) -> Iterator[tuple[tuple[str, str, str], FieldValue]]:
    records: Iterable[MappedRecord] = (record, *record.children)
    for item in records:
        for name, value in normalize(item.fields).items():
            yield (item.sobject, item.key, name), value


def _differs(item: WrittenField, before: _Values, after: _Values) -> bool:
    place = item.sobject, item.record, item.field
    if (place in before) != (place in after):
        return True
    return place in after and not same_value(before[place], after[place])
