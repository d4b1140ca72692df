"""Which fields of the org are mapped from personal data. PURE."""

from __future__ import annotations

from collections.abc import Iterable

from connector.mapping.spec import EntitySpec, FieldSpec
from connector.model import customer, order_header
from connector.model.change import EntityKind
from connector.model.field_notes import PersonalFields
from connector.model.record import SYNC_MESSAGE

_ATTRIBUTES = customer.PERSONAL | order_header.PERSONAL
_OF_OTHERS = frozenset({"product"})
"""Parts of a path behind which nothing is about a person, although the attribute has the same name."""


def personal_fields(specs: Iterable[EntitySpec]) -> PersonalFields:
    """Fields whose value comes from personal data of a customer or an order, by object. An expression is personal if
    anything that it uses is. What reps are told can quote such values, and is personal too."""
    found: dict[str, set[str]] = {}
    for spec in specs:
        for record in spec.records:
            names = found.setdefault(record.sobject, {SYNC_MESSAGE})
            if spec.kind is not EntityKind.PRODUCT:
                names |= {field.name for field in record.fields if _is_personal(field)}
    return {sobject: frozenset(names) for sobject, names in found.items()}


def _is_personal(field: FieldSpec) -> bool:
    paths = [] if field.path is None else [field.path]
    if field.expression is not None:
        paths += field.expression.paths
    return any(_is_about_a_person(path.text.split(".")) for path in paths)


def _is_about_a_person(parts: list[str]) -> bool:
    return parts[-1] in _ATTRIBUTES and not _OF_OTHERS & set(parts[:-1])
