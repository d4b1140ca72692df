"""Avro schemas of events, their IDs, and payloads encoded by them.

A schema's ID is the base64url of the MD5 of its canonical form, without padding (Pub/Sub API documentation, "Event
schemas"). It changes with every definition; old schemas can still be read by their IDs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import fastavro
from fastavro.schema import to_parsing_canonical_form

from connector.localorg.field_values import StoredValue, format_timestamp
from connector.localorg.schema import Field, SObject

NAMESPACE = "com.sforce.eventbus"
EXCLUDED_FIELDS = frozenset({"IsDeleted", "SystemModstamp", "LastActivityDate", "LastViewedDate", "LastReferencedDate",
                   "PhotoUrl", "Id"})  # fmt: skip
"""Fields that change events leave out."""

CHANGE_TYPES = (
    "CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW",
    "SNAPSHOT",
)  # fmt: skip
CHANGE_HEADER = "ChangeEventHeader"
_HEADER = {
    "type": "record",
    "name": CHANGE_HEADER,
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": {"type": "array", "items": "string"}},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": list(CHANGE_TYPES)}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": {"type": "array", "items": "string"}},
        {"name": "diffFields", "type": {"type": "array", "items": "string"}},
        {"name": "changedFields", "type": {"type": "array", "items": "string"}},
    ],
}
ADDRESS_PARTS = (
    ("Street", "string"), ("City", "string"), ("State", "string"), ("PostalCode", "string"), ("Country", "string"),
    ("StateCode", "string"), ("CountryCode", "string"), ("Latitude", "double"), ("Longitude", "double"),
    ("GeocodeAccuracy", "string"),
)  # fmt: skip
_ADDRESS = {
    "type": "record",
    "name": "Address",
    "fields": [{"name": name, "type": ["null", kind], "default": None} for name, kind in ADDRESS_PARTS],
}
NAME_PARTS = ("Salutation", "FirstName", "LastName", "MiddleName", "InformalName", "Suffix")
_PERSON = {
    "type": "record",
    "name": "PersonName",
    "fields": [{"name": name, "type": ["null", "string"], "default": None} for name in NAME_PARTS],
}
_NAMES: dict[str, list[Any]] = {  # of the objects whose name may be that of a person
    "Account": ["null", "string", {**_PERSON, "name": "Switchable_PersonName"}],
    "Contact": ["null", _PERSON],
}
_TYPES = {
    "boolean": "boolean", "int": "int", "long": "int", "double": "double", "currency": "double", "percent": "double",
    "date": "long", "datetime": "long", "time": "long",
}  # fmt: skip


_DOCS = {
    "boolean": "Boolean", "int": "Integer", "long": "Integer", "double": "Double", "currency": "Currency",
    "percent": "Percent", "date": "Date", "datetime": "DateTime", "time": "Time",
}  # fmt: skip


@dataclass(frozen=True)
class EventSchema:
    """An event's schema. `fields` are the field names in order, the header first: bit i of a bitmap is field i."""

    id: str
    json: str
    parsed: Any
    fields: tuple[str, ...]
    docs: Mapping[str, str]

    def encode(self, payload: Mapping[str, Any]) -> bytes:
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, self.parsed, dict(payload))
        return buffer.getvalue()

    def decode(self, payload: bytes) -> dict[str, Any]:
        """Decode a payload. ValueError if it does not match the schema, or if bytes are left over."""
        buffer = io.BytesIO(payload)
        try:
            values = fastavro.schemaless_reader(buffer, self.parsed, None)
        except Exception as error:  # whatever the decoder makes of foreign bytes
            raise ValueError(f"the payload does not match the schema ({type(error).__name__})") from None
        if buffer.read(1):
            raise ValueError("the payload has more bytes than the schema describes")
        return dict(values)  # type: ignore[arg-type]


def platform_event_schema(sobject: SObject) -> EventSchema:
    return _platform_event_schema(sobject.name, tuple(sobject.all_fields.values()))


@lru_cache(maxsize=256)
def _platform_event_schema(name: str, event_fields: tuple[Field, ...]) -> EventSchema:
    fields: list[dict[str, Any]] = [
        {"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"},
        {"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"},
    ]
    fields += [
        _nullable(field.name, _type(field), _doc(field))
        for field in event_fields
        if field.name not in {"ReplayId", "CreatedDate", "CreatedById", "EventUuid"}
    ]
    return _build_schema(name, json.dumps(fields))


def change_event_schema(sobject: SObject) -> EventSchema:
    """Build the change event of an object: a header and all fields, each nullable."""
    return _change_event_schema(sobject.name, tuple(sobject.all_fields.values()))


@lru_cache(maxsize=256)
def _change_event_schema(name: str, object_fields: tuple[Field, ...]) -> EventSchema:
    fields: list[dict[str, Any]] = [{"name": CHANGE_HEADER, "type": _HEADER, "doc": "Data:ComplexValueType"}]
    address: Any = _ADDRESS
    for field in object_fields:
        if field.name in EXCLUDED_FIELDS or field.compound_field_name:
            continue
        if field.name == "Name" and name in _NAMES:
            kind = _NAMES[name]
            fields.append({"name": "Name", "type": kind, "doc": "Data:SwitchablePersonName", "default": None})
        elif field.type == "address":
            fields.append(_nullable(field.name, address, "Data:Address"))
            address = "Address"  # after the first, by its name
        elif field.stored:
            fields.append(_nullable(field.name, _type(field), _doc(field)))
    return _build_schema(change_event_name(name), json.dumps(fields))


def change_event_name(sobject: str) -> str:
    """Return `OrderChangeEvent` for Order, `My__ChangeEvent` for `My__c`."""
    return f"{sobject.removesuffix('__c')}__ChangeEvent" if sobject.endswith("__c") else f"{sobject}ChangeEvent"


def _doc(field: Field) -> str:
    """Describe the type of a field. No client should rely on this text."""
    if field.type == "reference":
        return "ForeignKey:EntityId"
    return f"Data:{_DOCS.get(field.type, 'Text')}"


def _type(field: Field) -> str:
    return _TYPES.get(field.type, "string")


def _nullable(name: str, kind: Any, doc: str) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], "doc": doc, "default": None}


def parse_schema(text: str) -> EventSchema:
    """Parse the JSON of a schema."""
    source = json.loads(text)
    return _build_schema(source["name"], json.dumps(source["fields"]))


@lru_cache(maxsize=256)
def _build_schema(name: str, fields_json: str) -> EventSchema:
    fields: list[dict[str, Any]] = json.loads(fields_json)
    source = {"name": name, "namespace": NAMESPACE, "type": "record", "fields": fields}
    canonical = to_parsing_canonical_form(source)
    digest = hashlib.md5(canonical.encode(), usedforsecurity=False).digest()
    schema_id = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    docs = {field["name"]: field["doc"] for field in fields}
    schema_json = json.dumps({**source, "uuid": schema_id}, separators=(",", ":"))
    return EventSchema(schema_id, schema_json, fastavro.parse_schema(source), tuple(docs), docs)


def encode_value(field: Field, stored: Any) -> Any:
    """Return a stored value as Avro encodes it: dates and times are milliseconds since 1970."""
    return None if stored is None else _ENCODERS.get(field.type, str)(stored)


def decode_value(field: Field, encoded: Any) -> StoredValue:
    """Return what a column would hold for a value of an event: the inverse of `encode_value`."""
    if encoded is None or isinstance(encoded, str):
        return encoded
    if field.type in {"date", "datetime"}:
        try:
            moment = datetime.fromtimestamp(encoded / 1000, UTC)
        except (OverflowError, ValueError, OSError):  # a time that no calendar has
            return None
        return format_timestamp(moment) if field.type == "datetime" else moment.date().isoformat()
    return int(encoded) if field.type == "boolean" else float(encoded)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _encode_date(stored: Any) -> int:
    return _milliseconds(datetime.fromisoformat(str(stored)).replace(tzinfo=UTC))


def _encode_datetime(stored: Any) -> int:
    return _milliseconds(datetime.fromisoformat(str(stored)))


def _encode_time(stored: Any) -> int:
    hours, minutes, seconds = str(stored).rstrip("Z").split(":")
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000)


_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "boolean": bool, "int": int, "long": int, "double": float, "currency": float, "percent": float,
    "date": _encode_date, "datetime": _encode_datetime, "time": _encode_time,
}  # fmt: skip


def bitmap(positions: set[int]) -> str:
    """Return a bitmap like `0x400800`: bit i stands for field i of the schema; the number of digits is even."""
    digits = f"{sum(1 << position for position in positions):X}"
    return f"0x{digits.rjust(len(digits) + len(digits) % 2, '0')}"
