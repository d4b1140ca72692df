"""Compares values that the journal has kept with those of the org: it keeps numbers as text, and the beginning of long
texts."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from connector.model.describe import FieldDescribe
from connector.model.field_equality import same_value
from connector.model.record import FieldValue
from connector.store.field_notes import LONGEST_VALUE


def is_cut(value: FieldValue) -> bool:
    """Whether the journal has only the beginning of a text."""
    return isinstance(value, str) and len(value) == LONGEST_VALUE + 1 and value.endswith("…")


def is_written(now: FieldValue, written: FieldValue, known: FieldValue, describe: FieldDescribe | None) -> bool:
    """Whether a field still holds what was written. Of a long text the journal has the beginning; the rest is `known`
    from the link."""
    if isinstance(written, str) and is_cut(written):
        is_same_text = isinstance(known, str) and known.startswith(written[:-1])
        return is_same_text and same_value(now, known, describe)
    return same_value(now, written, describe)


def typed(value: FieldValue, describe: FieldDescribe | None) -> FieldValue:
    """A value of the journal, which keeps numbers as text, as the field has it."""
    if isinstance(value, str) and describe is not None and describe.type in {"currency", "double", "percent", "int"}:
        try:
            return Decimal(value)
        except InvalidOperation:
            return value
    return value
