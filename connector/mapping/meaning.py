"""What a mapping says, without how it is written: two sets of files with an equal meaning map alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from connector.mapping.mapper import EntityMapping, MappingSet
from connector.mapping.spec import FieldSpec, LookupSpec, RecordSpec
from connector.model.change import EntityKind


class ChangeKind(StrEnum):
    """What differs between two versions: a field, its source or its owner, or what identifies or selects records."""

    ADDED = "added"
    REMOVED = "removed"
    SOURCE = "source"
    OWNER = "owner"
    KEY = "key"
    OBJECT = "object"
    WHEN = "when"
    FILE = "file"


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingChange:
    """One difference between two versions. `field` is empty if it is about a whole record or file. `source` is the line
    in the new version; for what was removed, in the old one."""

    kind: ChangeKind
    entity: EntityKind
    sobject: str
    field: str = ""
    source: str | None = None
    before: str = ""
    after: str = ""


def compare_mappings(before: MappingSet, after: MappingSet) -> list[MappingChange]:
    """What differs, in the order of the new files."""
    old, new = _by_file(before), _by_file(after)
    changes: list[MappingChange] = []
    for name in [*new, *(name for name in old if name not in new)]:
        former, current = old.get(name), new.get(name)
        if former is None or current is None:
            mapping = current or former
            assert mapping is not None
            changes.append(
                MappingChange(
                    kind=ChangeKind.FILE,
                    entity=mapping.kind,
                    sobject=mapping.sobject,
                    source=f"{name}.yaml",
                    after="added" if current else "removed",
                )
            )
        else:
            changes += _compare_files(former, current)
    return changes


def _by_file(mappings: MappingSet) -> dict[str, EntityMapping[Any]]:
    named = {
        "customer": mappings.customer,
        "person": mappings.person,
        "product": mappings.product,
        "order": mappings.order,
        "return": mappings.reduction,
        "return_order": mappings.return_order,
    }
    return {name: mapping for name, mapping in named.items() if mapping is not None}


def _compare_files(before: EntityMapping[Any], after: EntityMapping[Any]) -> Iterator[MappingChange]:
    old, new = before.spec, after.spec
    whens = tuple("" if spec.when is None else spec.when.text for spec in (old, new))
    if whens[0] != whens[1]:
        where = None if new.when_position is None else new.when_position.source
        yield MappingChange(
            kind=ChangeKind.WHEN,
            entity=new.kind,
            sobject=new.record.sobject,
            source=where,
            before=whens[0],
            after=whens[1],
        )
    pairs = [(old.record, new.record)]
    for name in [*new.children, *(name for name in old.children if name not in new.children)]:
        if name in old.children and name in new.children:
            pairs.append((old.children[name], new.children[name]))
            continue
        record = new.children.get(name) or old.children[name]
        yield MappingChange(
            kind=ChangeKind.OBJECT,
            entity=new.kind,
            sobject=record.sobject,
            source=record.position.source,
            after="added" if name in new.children else "removed",
        )
    for former, current in pairs:
        yield from _compare_records(new.kind, former, current)


def _compare_records(entity: EntityKind, old: RecordSpec, new: RecordSpec) -> Iterator[MappingChange]:
    for kind, before, after, position in (
        (ChangeKind.OBJECT, old.sobject, new.sobject, new.sobject_position),
        (ChangeKind.KEY, old.external_id, new.external_id, new.external_id_position),
    ):
        if before != after:
            yield MappingChange(
                kind=kind, entity=entity, sobject=new.sobject, source=position.source, before=before, after=after
            )
    former = {entry.name: entry for entry in old.entries}
    current = {entry.name: entry for entry in new.entries}
    for name, entry in current.items():
        before_entry = former.get(name)
        if before_entry is None:
            yield _change(ChangeKind.ADDED, entity, new, entry, after=describe_entry(entry))
            continue
        if owner_of(before_entry) != owner_of(entry):
            yield _change(ChangeKind.OWNER, entity, new, entry, before=owner_of(before_entry), after=owner_of(entry))
        if meaning_of(before_entry) != meaning_of(entry):
            yield _change(
                ChangeKind.SOURCE, entity, new, entry, before=describe_entry(before_entry), after=describe_entry(entry)
            )
    for name, entry in former.items():
        if name not in current:
            yield _change(ChangeKind.REMOVED, entity, new, entry, before=describe_entry(entry))


def _change(
    kind: ChangeKind,
    entity: EntityKind,
    record: RecordSpec,
    entry: FieldSpec | LookupSpec,
    *,
    before: str = "",
    after: str = "",
) -> MappingChange:
    return MappingChange(
        kind=kind,
        entity=entity,
        sobject=record.sobject,
        field=entry.name,
        source=entry.position.source,
        before=before,
        after=after,
    )


def owner_of(entry: FieldSpec | LookupSpec) -> str:
    return entry.owner.value if isinstance(entry, FieldSpec) else "local"


def meaning_of(entry: FieldSpec | LookupSpec) -> tuple[object, ...]:
    """Where the value comes from and what becomes of it; equal for entries that map alike, whoever owns them."""
    path = None if entry.path is None else entry.path.text
    if isinstance(entry, LookupSpec):
        return entry.entity, path, entry.const
    expression = None if entry.expression is None else entry.expression.text
    rows = None if entry.values is None else tuple((key, repr(row.value)) for key, row in entry.values.rows.items())
    transforms = tuple(transform.name for transform in entry.transforms)
    return path, expression, repr(entry.const), transforms, rows, repr(entry.default)


def describe_entry(entry: FieldSpec | LookupSpec) -> str:
    """What fills the field, in a few words: `stage, values order_status`."""
    if isinstance(entry, LookupSpec):
        return f"lookup {entry.entity} by {entry.const if entry.path is None else entry.path.text}"
    if entry.path is not None:
        source = entry.path.text
    elif entry.expression is not None:
        source = f"expr {entry.expression.text}"
    else:
        source = f"const {entry.const}"
    parts = [source, *(f"transform {transform.name}" for transform in entry.transforms)]
    if entry.values is not None:
        parts.append(f"values {entry.values.name}")
    if entry.default is not None:
        parts.append(f"default {entry.default}")
    return ", ".join(parts)


def changed_kinds(changes: Iterable[MappingChange]) -> list[EntityKind]:
    """The kinds of entities that the changes are about, in the order in which they are sent."""
    kinds = {change.entity for change in changes}
    return [kind for kind in EntityKind if kind in kinds]
