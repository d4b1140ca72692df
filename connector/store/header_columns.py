"""The columns of the order header, made from its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Column, Date, Text, false

from connector.model.order_header import HEADER_FIELDS, REQUIRED, FieldKind
from connector.store.types import Exact, Instant, Key

_TYPES: Mapping[FieldKind, Any] = {
    FieldKind.MONEY: Exact,
    FieldKind.RATE: Exact,
    FieldKind.DAY: Date,
    FieldKind.MOMENT: Instant,
    FieldKind.FLAG: Boolean,
}


def header_column(name: str) -> Column[Any]:
    """Return the column of one field. A field without a value is NULL; a flag is false."""
    kind = HEADER_FIELDS[name].kind
    if name == "number":
        return Column(name, Key, primary_key=True)
    if kind is FieldKind.FLAG:
        return Column(name, Boolean, nullable=False, server_default=false())
    return Column(name, _TYPES.get(kind, Text), nullable=name not in REQUIRED)
