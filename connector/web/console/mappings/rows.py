"""A row for each field of a mapping: both sides' names, types and lengths, its owner, and values of real records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from datetime import datetime
from typing import Any, get_origin

from connector.errors import MappingError
from connector.mapping.lint import LintProblem
from connector.mapping.mapper import EntityMapping
from connector.mapping.parser import CHILDREN, MODELS
from connector.mapping.paths import PathError, attributes, resolve
from connector.mapping.spec import FieldSpec, LookupSpec, Owner, RecordSpec
from connector.mapping.types import as_utc, to_wire
from connector.model.change import EntityKind
from connector.model.describe import FieldDescribe, SObjectDescribe
from connector.model.record import LAST_SYNCED, SYNC_MESSAGE, FieldValue, MappedRecord

MOST_SAMPLES = 2
_NOT_OFFERED = frozenset({"OwnerId", "RecordTypeId", LAST_SYNCED, SYNC_MESSAGE})
"""Fields that the platform fills, and those that the connector fills by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgField:
    """A field of the org. `type` says its length or decimals; `is_read_only`: for the user of the connection."""

    name: str
    label: str
    type: str
    is_required: bool
    is_read_only: bool
    choices: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingRow:
    """A field that is mapped. `child` is `lines` for a field of order lines, else empty; `name` is as written.

    `source`: the path, the expression or the constant; `our_type` is what it yields. `org` is None if the org is not
    known, or has no such field. `table`: the rows of its value table. `samples`: our value of real records, and what
    the org has of it. `mark`: `new` or `changed`, if it is not so in the live version.
    """

    child: str
    sobject: str
    name: str
    line: int
    source: str
    source_kind: str
    our_type: str
    owner: Owner
    transforms: Sequence[str] = ()
    table_name: str = ""
    table: Sequence[tuple[str, FieldValue]] = ()
    default: FieldValue = None
    org: OrgField | None = None
    is_key: bool = False
    problems: Sequence[LintProblem] = ()
    samples: Sequence[tuple[str, FieldValue, FieldValue]] = ()
    mark: str = ""

    @property
    def meaning(self) -> tuple[object, ...]:
        """What it says of its field."""
        return self.source_kind, self.source, self.owner, tuple(self.transforms), self.table_name, self.default


@dataclass(frozen=True, kw_only=True, slots=True)
class MappedObject:
    """An object with its rows. `free`: fields of the org that could be mapped; `writable`: how many there are with
    those that are mapped; 0 if the org is not known."""

    child: str
    sobject: str
    rows: Sequence[MappingRow]
    free: Sequence[OrgField]
    writable: int

    @property
    def mapped(self) -> int:
        """How many of the writable fields are mapped."""
        return self.writable - len(self.free)


def list_objects(
    mapping: EntityMapping[Any],
    describes: Mapping[str, SObjectDescribe],
    problems: Sequence[LintProblem],
    entities: Sequence[Any] = (),
) -> list[MappedObject]:
    """The objects of a mapping. `problems` are those of its file; `entities`: whose values are shown."""
    mapped = [(entity, record) for entity in entities if (record := _map(mapping, entity)) is not None]
    objects = []
    for child, spec in [("", mapping.spec.record), *mapping.spec.children.items()]:
        describe = describes.get(spec.sobject)
        samples = _samples(child, mapped)
        rows = [_row(child, spec, entry, describe, problems, samples) for entry in spec.entries]
        taken = {entry.name for entry in spec.entries}
        writable = [] if describe is None else [item for item in describe.fields.values() if _is_writable(item)]
        free = [_org_field(item) for item in writable if item.name not in taken]
        objects.append(
            MappedObject(
                child=child,
                sobject=spec.sobject,
                rows=rows,
                free=sorted(free, key=lambda item: item.label.casefold()),
                writable=len(writable),
            )
        )
    return objects


def mark_changes(objects: Sequence[MappedObject], live: Sequence[MappedObject]) -> list[MappedObject]:
    """The objects, with a mark at each row that is not so in the live version."""
    meanings = {(row.child, row.name): row.meaning for item in live for row in item.rows}

    def mark(row: MappingRow) -> MappingRow:
        known = meanings.get((row.child, row.name))
        return row if known == row.meaning else replace(row, mark="new" if known is None else "changed")

    return [replace(item, rows=[mark(row) for row in item.rows]) for item in objects]


def list_paths(kind: EntityKind, child: str) -> list[tuple[str, str]]:
    """Every path that a field can be mapped from, with what it is."""
    model = CHILDREN[kind][child][1] if child else MODELS[kind]
    return _paths(model, model, "", 2)


def _paths(root: type, model: type, prefix: str, depth: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, attribute in attributes(model).items():
        text = f"{prefix}{name}"
        try:
            found.append((text, resolve(root, text).kind.value))
        except PathError:
            inner = _dataclass_of(attribute.annotation)
            if inner is not None and depth > 1:
                found += _paths(root, inner, f"{text}.", depth - 1)
    return found


def _dataclass_of(annotation: Any) -> type | None:
    parts = [annotation, *getattr(annotation, "__args__", ())]
    if get_origin(annotation) is tuple:
        return None
    return next((part for part in parts if isinstance(part, type) and is_dataclass(part)), None)


def _map(mapping: EntityMapping[Any], entity: Any) -> MappedRecord | None:
    try:
        return mapping.map(entity)
    except MappingError:  # its value does not suit the mapping: lint and dead letters say so
        return None


def _samples(child: str, mapped: Sequence[tuple[Any, MappedRecord]]) -> list[tuple[Any, MappedRecord]]:
    if not child:
        return list(mapped)[:MOST_SAMPLES]
    return [
        (part, record)
        for entity, parent in mapped
        for part, record in zip(getattr(entity, child), parent.children, strict=False)
    ][:MOST_SAMPLES]


def _row(
    child: str,
    spec: RecordSpec,
    entry: FieldSpec | LookupSpec,
    describe: SObjectDescribe | None,
    problems: Sequence[LintProblem],
    samples: Sequence[tuple[Any, MappedRecord]],
) -> MappingRow:
    written = entry.relationship if isinstance(entry, LookupSpec) else entry.name
    label = f"{child}.{written}" if child else written
    found = None if describe is None else describe.fields.get(entry.name)
    return MappingRow(
        child=child,
        sobject=spec.sobject,
        name=written,
        line=entry.position.line,
        org=None if found is None else _org_field(found),
        is_key=entry.name == spec.external_id,
        problems=[item for item in problems if item.field in {label, written} or item.line == entry.position.line],
        samples=[(record.key, _ours(entry, entity), _theirs(entry, record)) for entity, record in samples],
        **(_lookup_parts(entry) if isinstance(entry, LookupSpec) else _field_parts(entry)),
    )


def _field_parts(spec: FieldSpec) -> dict[str, Any]:
    if spec.path is not None:
        source, kind, our_type = spec.path.text, "path", spec.path.kind
    elif spec.expression is not None:
        source, kind, our_type = spec.expression.text, "expression", spec.expression.kind
    else:
        source, kind, our_type = "" if spec.const is None else str(spec.const), "constant", spec.kind
    rows = () if spec.values is None else [(ours, row.value) for ours, row in spec.values.rows.items()]
    return {
        "source": source,
        "source_kind": kind,
        "our_type": our_type.value,
        "owner": spec.owner,
        "transforms": [item.name for item in spec.transforms],
        "table_name": "" if spec.values is None else spec.values.name,
        "table": rows,
        "default": spec.default,
    }


def _lookup_parts(spec: LookupSpec) -> dict[str, Any]:
    source = spec.const if spec.path is None else spec.path.text
    return {
        "source": source or "",
        "source_kind": "lookup",
        "our_type": f"the {spec.entity.replace('_', ' ')} with this key",
        "owner": Owner.LOCAL,
    }


def _ours(entry: FieldSpec | LookupSpec, entity: Any) -> FieldValue:
    try:
        value = entry.path.read(entity) if entry.path is not None else None
    except AttributeError:
        return None
    if isinstance(value, datetime):
        return f"{as_utc(value):%Y-%m-%d %H:%M}"
    return None if value is None else to_wire(value)


def _theirs(entry: FieldSpec | LookupSpec, record: MappedRecord) -> FieldValue:
    if isinstance(entry, FieldSpec):
        return record.fields.get(entry.name)
    lookup = record.lookups.get(entry.name)
    return None if lookup is None else lookup.key


def _org_field(item: FieldDescribe) -> OrgField:
    return OrgField(
        name=item.name,
        label=item.label,
        type=_type_text(item),
        is_required=item.required_on_create,
        is_read_only=not (item.createable or item.updateable),
        choices=item.picklist,
    )


def _type_text(item: FieldDescribe) -> str:
    match item.type:
        case "string" | "textarea" | "phone" | "email" | "url" | "encryptedstring":
            return f"{'text' if item.type == 'string' else item.type}, {item.length} characters"
        case "currency" | "double" | "percent":
            return f"{item.type}, {item.precision - item.scale} digits and {item.scale} decimals"
        case "picklist" | "multipicklist" | "combobox":
            return f"{item.type} of {len(item.picklist)}{'' if item.restricted_picklist else ', others allowed'}"
        case "reference":
            return f"reference to {', '.join(item.reference_to[:3])}"
        case _:
            return item.type


def _is_writable(item: FieldDescribe) -> bool:
    """Whether a value can be mapped to it. References are filled by lookups, which name a record by its key."""
    writable = item.createable or item.updateable
    return writable and item.type != "reference" and item.name not in _NOT_OFFERED
