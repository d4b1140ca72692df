"""The kinds of values, from the annotations of the model to the text that Salesforce reads.

Wire forms: dates and datetimes are ISO text (UTC, whole seconds, because the org stores no fractions), a Decimal stays
as it is, an enum is its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any

from connector.model.record import FieldValue


class Kind(StrEnum):
    TEXT = "text"
    BOOLEAN = "true or false"
    INTEGER = "whole number"
    DECIMAL = "decimal number"
    DATE = "date"
    DATETIME = "date and time"
    ANY = "a value known only when it is evaluated"


NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL})


def kind_of(python_type: Any) -> Kind | None:
    """The kind of an annotation; None for what cannot be one field (a customer, a list of lines)."""
    if isinstance(python_type, type) and issubclass(python_type, StrEnum):
        return Kind.TEXT
    return _KINDS.get(python_type)


_KINDS: Mapping[Any, Kind] = MappingProxyType(
    {
        str: Kind.TEXT,
        bool: Kind.BOOLEAN,
        int: Kind.INTEGER,
        Decimal: Kind.DECIMAL,
        date: Kind.DATE,
        datetime: Kind.DATETIME,
    }
)


def as_utc(moment: datetime) -> datetime:
    """The moment in UTC; without a zone it is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _datetime_text(moment: datetime) -> str:
    return f"{as_utc(moment).isoformat()[:19]}.000+0000"


def _date_text(day: date) -> str:
    return day.isoformat()[:10]


def _enum_text(member: Enum) -> str:
    return str(member.value)


def to_wire(value: object) -> FieldValue:
    """Any value in its wire form. Raises TypeError for a value that no field can hold."""
    if isinstance(value, Enum):
        return _enum_text(value)
    if value is None or isinstance(value, str | bool | int | Decimal):
        return value
    if isinstance(value, datetime):
        return _datetime_text(value)
    if isinstance(value, date):
        return _date_text(value)
    raise TypeError(f"{value!r} cannot stand in a field")


def wire_step(kind: Kind, *, is_enum: bool) -> Callable[[Any], FieldValue] | None:
    """The fastest conversion for values of this kind; None if they already have their wire form."""
    if is_enum:
        return _enum_text
    if kind is Kind.DATETIME:
        return _datetime_text
    if kind is Kind.DATE:
        return _date_text
    return to_wire if kind is Kind.ANY else None
