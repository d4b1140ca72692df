"""A record with the values that it shall have in the org, independent of how it is sent."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

IS_PERSON = "IsPersonAccount"
"""A field of an account's snapshot, if the org has person accounts; it is never sent."""

SYNC_MESSAGE, LAST_SYNCED = "Sync_Message__c", "Last_Synced__c"
"""Fields of Account and Order, if the org has our metadata: what a rep is told, and when the connector wrote last."""

FieldValue = str | bool | int | Decimal | None
SentValues = Mapping[str, Sequence[FieldValue]]
"""Values that were sent of fields, each of which the org may hold or not."""
"""The value of a Salesforce field in a request or response; dates and times are ISO text, money is Decimal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """A reference by our own key. `entity` is `customer`, `product`, `order`, `line`, `price`, `price_book` or
    `record_type`."""

    entity: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MappedRecord:
    """One record and its children; references hold our own keys instead of Salesforce IDs.

    `fields` are the values by API name, with the external ID field; `lookups` are the references by the API name of the
    reference field (`AccountId`); `children` are the records of the child object, in the sequence of the lines.
    `person`: whether a customer's account is a person account; None if the org has no person accounts. `shared` fields
    may be changed on both sides.
    """

    entity: str
    key: str
    sobject: str
    external_id: str
    fields: Mapping[str, FieldValue]
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    children: tuple[MappedRecord, ...] = ()
    person: bool | None = None
    shared: frozenset[str] = frozenset()

    def without_fields(self, names: Collection[str]) -> MappedRecord:
        """The same without these fields, of children by `child_field`: the org keeps its values."""
        keys = {name.rpartition(".")[0] for name in names}
        children = tuple(
            child.without_fields({name for name in child.fields if child_field(child.key, name) in names})
            if child.key in keys
            else child
            for child in self.children
        )
        fields = {name: value for name, value in self.fields.items() if name not in names}
        return replace(self, fields=fields, children=children)


def child_field(key: str, name: str) -> str:
    """The name of a field of a child, among fields of its parent."""
    return f"{key}.{name}"


PARTS = {"order": "line", "product": "price", "return": "return_line"}
"""Entities whose records have parts, and the parts: a part is sent together with its owner."""

_OWNERS = {"line": ("order", "-"), "price": ("product", "|"), "return_line": ("return", "-")}
"""The owner of each part, and the separator between the owner's key and the rest of the part's key."""


def owner_of(entity: str, key: str) -> tuple[str, str] | None:
    """Return (entity, key) of the order of a line, the product of a price, or the return of a return line; None for an
    entity that is no part."""
    if entity not in _OWNERS:
        return None
    owner, separator = _OWNERS[entity]
    return owner, key.rpartition(separator)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """The record of an entity in the org, and the field values that both sides last agreed on (`snapshot`), stored at
    `synced_at`."""

    entity: str
    key: str
    sobject: str
    salesforce_id: str
    snapshot: Mapping[str, FieldValue]
    synced_at: datetime | None = field(default=None, compare=False)
    held: Mapping[str, FieldValue] = field(default_factory=dict, compare=False)
    """Values of ours that were undone, by field: they are not sent until they are others. Only `links.hold` changes
    them."""

    @property
    def is_part(self) -> bool:
        """Whether it is a line or a price, which is sent together with its order, return or product."""
        return self.entity in _OWNERS

    @property
    def owner(self) -> tuple[str, str]:
        """The entity that is sent: the owner of a part, else the entity itself."""
        return owner_of(self.entity, self.key) or (self.entity, self.key)


def changed_fields(wanted: Mapping[str, FieldValue], snapshot: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """Return the fields of `wanted` that differ from `snapshot`. Empty text equals null, as the org stores it, and 14
    equals 14.00."""
    return {
        name: value
        for name, value in wanted.items()
        if name not in snapshot or _stored(value) != _stored(snapshot[name])
    }


def _stored(value: FieldValue) -> FieldValue:
    return None if value == "" else value


def dump_snapshot(fields: Mapping[str, FieldValue]) -> str:
    """Return JSON text that keeps every digit of a Decimal."""
    return json.dumps({name: encode_value(value) for name, value in fields.items()}, ensure_ascii=False)


def load_snapshot(text: str, *, only: Collection[str] | None = None) -> dict[str, FieldValue]:
    """Return what `dump_snapshot` wrote; `only`: these fields of it."""
    return {name: decode_value(value) for name, value in json.loads(text).items() if only is None or name in only}


def dump_value(value: FieldValue) -> str:
    """Return one value as JSON text that keeps every digit."""
    return json.dumps(encode_value(value), ensure_ascii=False)


def load_value(text: str) -> FieldValue:
    """Return a value that `dump_value` wrote."""
    return decode_value(json.loads(text))


def dump_sent(sent: SentValues | None) -> str | None:
    """Return JSON text, or None for None."""
    if sent is None:
        return None
    encoded = {name: [encode_value(value) for value in values] for name, values in sent.items()}
    return json.dumps(encoded, ensure_ascii=False)


def load_sent(text: str | None) -> SentValues | None:
    """Return what `dump_sent` wrote."""
    if text is None:
        return None
    return {name: tuple(decode_value(value) for value in values) for name, values in json.loads(text).items()}


def encode_value(value: FieldValue) -> object:
    """A value for JSON that keeps every digit of a Decimal."""
    return {"n": f"{value:f}"} if isinstance(value, Decimal) else value


def decode_value(value: object) -> FieldValue:
    """A value that `encode_value` made."""
    if isinstance(value, dict):
        return Decimal(value["n"])
    if value is None or isinstance(value, str | bool | int):
        return value
    raise ValueError(f"a snapshot cannot hold {value!r}")
