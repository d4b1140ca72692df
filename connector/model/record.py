"""A record as the org shall see it, before anybody decides how to send it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

IS_PERSON = "IsPersonAccount"
"""Kept with what both sides agreed on of an account, where the org tells persons from companies; never sent."""

FieldValue = str | bool | int | Decimal | None
"""What a Salesforce field holds on the wire; dates and datetimes are their ISO text, money is Decimal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """A reference by our key: `entity` is `customer`, `product`, `order`, `line`, `price`, `price_book` or
    `record_type`."""

    entity: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MappedRecord:
    """One record and its children, with our keys where Salesforce IDs will stand.

    `fields` holds values by API name, the external ID field among them; `lookups` holds references by the API name of
    the reference field (`AccountId`); `children` are whole records of the child object, in line order. `person`, of a
    customer: whether its account is a person's or a company's; None where the org knows no such difference.
    """

    entity: str
    key: str
    sobject: str
    external_id: str
    fields: Mapping[str, FieldValue]
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    children: tuple[MappedRecord, ...] = ()
    person: bool | None = None


PARTS = {"order": "line", "product": "price", "return": "return_line"}
"""What goes in the org with what it hangs on."""

_OWNERS = {"line": ("order", "-"), "price": ("product", "|"), "return_line": ("return", "-")}
"""What each part belongs to, and what stands between its owner's key and the rest of its own."""


def owner_of(entity: str, key: str) -> tuple[str, str] | None:
    """The order of a line, the product of a price, the return of its line; None for what has records of its own."""
    if entity not in _OWNERS:
        return None
    owner, separator = _OWNERS[entity]
    return owner, key.rpartition(separator)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """An entity's place in the org and the field values both sides last agreed on (`snapshot`)."""

    entity: str
    key: str
    sobject: str
    salesforce_id: str
    snapshot: Mapping[str, FieldValue]

    @property
    def is_part(self) -> bool:
        """Whether it is a line or a price, which goes with its order, return or product."""
        return self.entity in _OWNERS

    @property
    def owner(self) -> tuple[str, str]:
        """The entity by which it is sent: its own, or that of which it is a part."""
        return owner_of(self.entity, self.key) or (self.entity, self.key)


def changed_fields(wanted: Mapping[str, FieldValue], snapshot: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """The fields of `wanted` that differ from `snapshot`. Empty text is null, as the org stores it; 14 equals 14.00."""
    return {
        name: value
        for name, value in wanted.items()
        if name not in snapshot or _stored(value) != _stored(snapshot[name])
    }


def _stored(value: FieldValue) -> FieldValue:
    return None if value == "" else value


def dump_snapshot(fields: Mapping[str, FieldValue]) -> str:
    """JSON text that keeps every digit of a Decimal."""
    return json.dumps({name: _encode(value) for name, value in fields.items()}, ensure_ascii=False)


def load_snapshot(text: str) -> dict[str, FieldValue]:
    return {name: _decode(value) for name, value in json.loads(text).items()}


def _encode(value: FieldValue) -> object:
    return {"n": f"{value:f}"} if isinstance(value, Decimal) else value


def _decode(value: object) -> FieldValue:
    if isinstance(value, dict):
        return Decimal(value["n"])
    if value is None or isinstance(value, str | bool | int):
        return value
    raise ValueError(f"a snapshot cannot hold {value!r}")
