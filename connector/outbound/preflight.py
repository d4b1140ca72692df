"""Normalizes values as the org stores them, and checks in advance what the org would refuse.

A refusal from here carries the code that the org would have answered with, so the reader of a dead letter need not care
who noticed. PURE: no I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

from connector.model.change import Refusal
from connector.model.describe import FieldDescribe, SObjectDescribe
from connector.model.record import FieldValue

NUMERIC = frozenset({"currency", "double", "percent"})
MAX_DIGITS = 18
MAX_SHOWN_CHARACTERS = 40  # characters of an offending text that a message repeats


class Source(Protocol):
    """Returns the mapping line behind a field (`order.yaml:14`); with `person`, the line of the person
    account mapping."""

    def __call__(self, sobject: str, field: str, /, *, person: bool = False) -> str | None: ...


def normalize(values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """`values` as the org would store them: text trimmed, empty text null.

    The org trims silently; trimming first keeps the snapshot equal to what a later read returns. The org also rounds
    silently, which `first_violation` refuses: an amount is rounded only where the mapping says so.
    """
    return {name: (value.strip() or None) if isinstance(value, str) else value for name, value in values.items()}


def round_to_field(value: Decimal, field: FieldDescribe | None) -> Decimal:
    """`value` rounded half up to the decimals of the field, as the org itself rounds."""
    if field is None or not value.is_finite() or value.adjusted() > MAX_DIGITS:
        return value
    return value.quantize(Decimal(1).scaleb(-field.scale), rounding=ROUND_HALF_UP)


def reference_like_values(values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """The values that composite and graph calls would resolve as a reference, such as `@{order.id}` in a note.

    The documentation describes no escape, so such values are sent with sObject Collections, which know no references.
    """
    return {name: value for name, value in values.items() if isinstance(value, str) and "@{" in value}


def first_violation(
    values: Mapping[str, FieldValue],
    describe: SObjectDescribe,
    *,
    record: str,
    source: Source,
    creating: bool,
    filled_later: Collection[str] = (),
    person: bool = False,
) -> Refusal | None:
    """Why the org would refuse these normalized values, or None. The first violation in field order is reported.

    `filled_later` names references that are filled in when the call is built.
    """
    for name, value in values.items():
        field = describe.fields.get(name)
        violation = _check_value(value, field, describe) if field is not None else None
        if violation is not None:
            code, message, fix = violation
            return Refusal(
                code=code,
                message=message,
                field=f"{describe.name}.{name}",
                source=source(describe.name, name, person=person),
                fix=fix,
                record=record,
            )
    if creating:
        for name, field in describe.fields.items():
            if field.required_on_create and values.get(name) is None and name not in filled_later:
                return Refusal(
                    code="REQUIRED_FIELD_MISSING",
                    message=f"Required fields are missing: [{name}]",
                    field=f"{describe.name}.{name}",
                    source=source(describe.name, name, person=person),
                    fix=f"Give {record} a value for {field.label}, or map the field to something that has one.",
                    record=record,
                )
    return None


def _check_value(value: FieldValue, field: FieldDescribe, describe: SObjectDescribe) -> tuple[str, str, str] | None:
    if isinstance(value, str):
        if field.length and len(value) > field.length and not field.reference_to:
            shortened = value if len(value) <= MAX_SHOWN_CHARACTERS else value[:MAX_SHOWN_CHARACTERS] + "…"
            return (
                "STRING_TOO_LONG",
                f"{field.label}: data value too large: {shortened} (max length={field.length})",
                f"Shorten it to {field.length} characters (it has {len(value)}), then replay.",
            )
        if field.restricted_picklist and field.picklist and value not in field.picklist:
            return (
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"{field.label}: bad value for restricted picklist field: {value}",
                "Map it to one of the org's values in mappings/values, or ask an admin to add it, then replay.",
            )
    elif isinstance(value, Decimal) and _too_large(value, field):
        return (
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{field.label}: value outside of valid range on numeric field: {value}",
            f"The field holds {field.precision - field.scale} digits before the decimal mark: correct the amount.",
        )
    elif isinstance(value, Decimal) and field.type in NUMERIC and round_to_field(value, field) != value:
        return (
            "WOULD_BE_ROUNDED",
            f"{field.label}: {value} has more decimals than the {field.scale} that the field holds.",
            "Correct it, or say in the mapping that it is rounded (`transform: round2`), then replay.",
        )
    return None


def _too_large(value: Decimal, field: FieldDescribe) -> bool:
    if field.type not in NUMERIC or not field.precision:
        return False
    return not value.is_finite() or abs(value) >= Decimal(10) ** (field.precision - field.scale)
