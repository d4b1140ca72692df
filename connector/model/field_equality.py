"""Whether two values of one Salesforce field mean the same. PURE.

Both sides hold the same value in different forms: the org trims text, stores empty text as null, rounds a number to the
scale of its field, and answers a time in a form that depends on the API. A value that differs in its form only is no
change.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from connector.model.describe import FieldDescribe
from connector.model.record import FieldValue

_NUMBERS = frozenset({"currency", "double", "percent", "int", "long"})
_ID_LENGTHS = frozenset({15, 18})
_ID_PREFIX = 15
"""Characters of an ID that identify the record; the other three repeat its capitals for tools that ignore them."""


def same_value(one: FieldValue, other: FieldValue, field: FieldDescribe | None = None) -> bool:
    """Whether `one` and `other` are the same value of `field`; None where its describe is not known."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False  # Python takes True for 1
    return normalize(one, field) == normalize(other, field)


def normalize(value: FieldValue, field: FieldDescribe | None = None) -> FieldValue | datetime:
    """`value` in a form that compares equal for equal values: no empty text, numbers as Decimal at the field's scale,
    times in UTC, IDs with 15 characters, e-mail addresses in lower case."""
    if isinstance(value, bool) or value is None:
        return value
    kind = field.type if field is not None else ""
    if isinstance(value, int | Decimal):
        return _number(Decimal(value), field)
    text = value.replace("\r\n", "\n").strip()
    if not text:
        return None
    if kind == "datetime" or (field is None and _looks_like_moment(text)):
        return _moment(text) or text
    if kind == "reference" and len(text) in _ID_LENGTHS:
        return text[:_ID_PREFIX]
    if kind == "email":
        return text.lower()
    if kind == "multipicklist":
        return ";".join(sorted(part.strip() for part in text.split(";")))
    return text


def _number(value: Decimal, field: FieldDescribe | None) -> Decimal:
    if field is not None and field.type in _NUMBERS and value.is_finite():
        value = value.quantize(Decimal(1).scaleb(-field.scale), rounding=ROUND_HALF_UP)
    return value


def _looks_like_moment(text: str) -> bool:
    return len(text) >= len("2026-01-31T10:00:00") and text[4:5] == "-" and text[10:11] == "T"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def prefer_ours_if_equal(value: FieldValue, ours: FieldValue, field: FieldDescribe | None) -> FieldValue:
    """Our value if the org's value differs only in notation, so that nothing is sent that changes nothing."""
    both_text = isinstance(value, str) and isinstance(ours, str)
    return ours if both_text and field is not None and same_value(value, ours, field) else value
