"""Compiles the spec of a field into one function from an entity to its wire value.

A value passes through the source, the transforms, then either the value table or the wire form. If nothing results (or
empty text, which the org stores as null), the default is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from connector.mapping.spec import FieldSpec, LookupSpec, ValueTable
from connector.mapping.transforms import to_text
from connector.mapping.types import Kind, to_wire, wire_step
from connector.model.record import FieldValue, Lookup


class Absent(Enum):
    """Leave the field out of the record: the org's value stays."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT

Getter = Callable[[Any], FieldValue | Absent]
LookupGetter = Callable[[Any], Lookup | None]


def compile_field(spec: FieldSpec) -> Getter:
    """The function for one field. It may raise whatever a transform or an expression raises on an unsuitable value."""
    if spec.path is None and spec.expression is None:
        constant = spec.const
        return lambda _: constant
    read: Callable[[Any], Any]
    if spec.path is not None:
        read = spec.path.read
    else:
        assert spec.expression is not None
        read = spec.expression.evaluate
    steps: list[Callable[[Any], Any]] = [transform.forward for transform in spec.transforms]
    if spec.values is not None:
        steps.append(_table_step(spec.values, textual=_yields_text(spec)))
    elif spec.expression is not None and not steps:
        steps.append(to_wire)  # the kind of an expression is inferred, so its actual value decides
    else:
        is_enum = spec.path is not None and bool(spec.path.choices) and not steps
        last = wire_step(spec.kind, is_enum=is_enum)
        if last is not None:
            steps.append(last)
    return _chain(read, steps, spec.default)


def _chain(read: Callable[[Any], Any], steps: list[Callable[[Any], Any]], default: FieldValue) -> Getter:
    if default is None and not steps:
        return read
    if default is None and len(steps) == 1:
        step = steps[0]

        def apply_step(entity: Any) -> FieldValue | Absent:
            value = read(entity)
            return None if value is None else step(value)

        return apply_step

    def apply_steps(entity: Any) -> FieldValue | Absent:
        value = read(entity)
        for step in steps:
            if value is None:
                return default
            value = step(value)
        return default if value is None or value == "" else value

    return apply_steps


def _yields_text(spec: FieldSpec) -> bool:
    """Whether the value table is looked up with a value that is already text."""
    if spec.transforms:
        return spec.transforms[-1].yields is Kind.TEXT
    return spec.path is not None and spec.path.kind is Kind.TEXT


def _table_step(table: ValueTable, *, textual: bool) -> Callable[[Any], FieldValue | Absent]:
    values: Mapping[str, FieldValue | Absent] = {
        ours: ABSENT if row.value is None else row.value for ours, row in table.rows.items()
    }
    # A table with gaps is rejected at load, unless an expression uses it: then a gap keeps the org's value.
    others = ABSENT if table.other_values is None or table.other_values.value is None else table.other_values.value
    if textual:
        return lambda value: values.get(value, others)
    return lambda value: values.get(to_text(value), others)


def compile_lookup(spec: LookupSpec) -> LookupGetter:
    """The function for one lookup; it returns None if there is no key."""
    entity = spec.entity
    if spec.path is None:
        assert spec.const is not None
        constant = Lookup(entity=entity, key=spec.const)
        return lambda _: constant
    read = spec.path.read

    def lookup(record: Any) -> Lookup | None:
        key = read(record)
        return None if key is None or key == "" else Lookup(entity=entity, key=key)

    return lookup
