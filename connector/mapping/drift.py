"""Compares the describe of an org with an earlier one, as far as the mappings depend on it.

What the org would refuse now is an error, whenever it changed. What has changed since the earlier describe, and
concerns a mapped field, is a warning: a shorter field, another type, a value that a picklist lost or got, a new record
type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connector.mapping.lint import LintOrg, LintProblem, lint
from connector.mapping.mapper import MappingSet
from connector.mapping.problems import Level
from connector.mapping.spec import RecordSpec
from connector.mapping.text_folder import Texts
from connector.model.describe import FieldDescribe, SObjectDescribe
from connector.model.mapping_drift import Drift, DriftKind

_NUMBERS = frozenset({"currency", "double", "percent"})


def find_drift(texts: Texts, before: LintOrg, after: LintOrg) -> list[Drift]:
    """What changed in the org and concerns these files, errors first."""
    earlier = {str(item) for item in lint(texts, before).problems}
    result = lint(texts, after)
    if result.mappings is None:
        return []
    mappings = result.mappings.with_persons(after.persons)
    found: dict[tuple[str, str, str], Drift] = {}
    for item in result.problems:
        if item.level is Level.ERROR or str(item) not in earlier:
            _add(found, _from_lint(item, mappings, before.describes, after.describes))
    broken = {(item.sobject, item.field) for item in found.values()}
    for drift in _changed_shapes(mappings, before.describes, after.describes):
        if (drift.sobject, drift.field) not in broken:
            _add(found, drift)
    return sorted(found.values(), key=lambda item: (item.level != Level.ERROR, item.sobject, item.field))


def _add(found: dict[tuple[str, str, str], Drift], drift: Drift) -> None:
    """One entry for a field that several lines map."""
    key = drift.sobject, drift.field, drift.text
    former = found.get(key)
    places = drift.places if former is None else [*former.places, *drift.places]
    found[key] = Drift(
        level=drift.level,
        kind=drift.kind,
        sobject=drift.sobject,
        field=drift.field,
        text=drift.text,
        places=list(dict.fromkeys(places)),
    )


def _from_lint(
    item: LintProblem,
    mappings: MappingSet,
    before: Mapping[str, SObjectDescribe],
    after: Mapping[str, SObjectDescribe],
) -> Drift:
    sobject, field = _find_subject(item, mappings)
    old = before[sobject].fields.get(field) if sobject in before else None
    new = after[sobject].fields.get(field) if sobject in after else None
    kind = _kind(item, old, new, has_object=sobject in after)
    text = f"{sobject}.{item.field} {item.text}" if sobject else f"{item.field}: {item.text}"
    return Drift(
        level=item.level.value, kind=kind, sobject=sobject, field=field, text=text, places=[f"{item.file}:{item.line}"]
    )


def _find_subject(item: LintProblem, mappings: MappingSet) -> tuple[str, str]:
    """The object and the field that a problem is about, by its place; a value table stands for the field using it."""
    for mapping in mappings:
        for record in mapping.spec.records:
            for entry in record.entries:
                label = getattr(entry, "relationship", entry.name)
                in_table = item.field == label and item.file.rpartition("/")[0].endswith("/values")
                is_here = (entry.position.file, entry.position.line) == (item.file, item.line)
                if (is_here and item.field == label) or in_table:
                    return record.sobject, entry.name
            if record.position.file == item.file and item.line in {
                record.position.line,
                record.sobject_position.line,
                record.external_id_position.line,
            }:
                return record.sobject, "" if item.field in {"sobject", "external_id"} else item.field
    return "", item.field


def _kind(item: LintProblem, old: FieldDescribe | None, new: FieldDescribe | None, *, has_object: bool) -> DriftKind:
    if not has_object:
        return DriftKind.OBJECT_GONE
    if "is required to create" in item.text:
        return DriftKind.FIELD_REQUIRED
    if new is None:
        return DriftKind.RECORD_TYPE if "record type" in item.text else DriftKind.FIELD_GONE
    if "picklist" in item.text or (item.level is Level.WARNING and new.picklist):
        return DriftKind.PICKLIST
    if old is not None and old.type != new.type:
        return DriftKind.TYPE
    if old is not None and (old.createable, old.updateable) != (new.createable, new.updateable):
        return DriftKind.PERMISSION
    if "record type" in item.text:
        return DriftKind.RECORD_TYPE
    return DriftKind.OTHER


def _changed_shapes(
    mappings: MappingSet, before: Mapping[str, SObjectDescribe], after: Mapping[str, SObjectDescribe]
) -> Iterator[Drift]:
    for mapping in mappings:
        for record in mapping.spec.records:
            old, new = before.get(record.sobject), after.get(record.sobject)
            if old is not None and new is not None:
                yield from _changed_fields(record, old, new)
                yield from _changed_record_types(record, old, new)


def _changed_fields(record: RecordSpec, old: SObjectDescribe, new: SObjectDescribe) -> Iterator[Drift]:
    for entry in record.entries:
        former, current = old.fields.get(entry.name), new.fields.get(entry.name)
        if former is None or current is None:
            continue
        for kind, text in _changes_of(former, current):
            yield Drift(
                level=Level.WARNING.value,
                kind=kind,
                sobject=record.sobject,
                field=entry.name,
                text=f"{record.sobject}.{entry.name} {text}",
                places=[entry.position.source],
            )


def _changes_of(old: FieldDescribe, new: FieldDescribe) -> Iterator[tuple[DriftKind, str]]:
    if old.type != new.type:
        yield DriftKind.TYPE, f"is a {new.type} field now, and was a {old.type} field: look whether its values suit."
        return
    if new.length < old.length:
        yield (
            DriftKind.LENGTH,
            f"holds {new.length} characters now, and held {old.length}: entities with longer values are refused;"
            " shorten them in the mapping, or have the length restored.",
        )
    if new.type in _NUMBERS and (new.scale < old.scale or new.precision - new.scale < old.precision - old.scale):
        yield (
            DriftKind.LENGTH,
            f"holds {new.precision - new.scale} digits and {new.scale} decimals now, and held"
            f" {old.precision - old.scale} and {old.scale}: round in the mapping, or have it restored.",
        )
    if old.nillable and not new.nillable and not new.defaulted_on_create:
        yield (
            DriftKind.FIELD_REQUIRED,
            "is required now: entities without a value are refused; give it a `default` in the mapping.",
        )


def _changed_record_types(record: RecordSpec, old: SObjectDescribe, new: SObjectDescribe) -> Iterator[Drift]:
    known = {item.id for item in old.record_types}
    for item in new.record_types:
        if item.id not in known and item.usable and not item.master:
            by_default = "new records get it by default" if item.default else "no record of ours gets it by itself"
            yield Drift(
                level=Level.WARNING.value,
                kind=DriftKind.RECORD_TYPE,
                sobject=record.sobject,
                field="RecordTypeId",
                text=f"{record.sobject} has the new record type {item.name}: {by_default}; look whether the mapping"
                " must name one (`RecordType: {lookup: record_type, const: …}`).",
                places=[record.sobject_position.source],
            )
