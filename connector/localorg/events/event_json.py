"""Events as JSON, for clients without Avro: dates as text, bitmaps as field names, no unset fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connector.localorg.events.avro import CHANGE_HEADER, EventSchema
from connector.localorg.field_values import format_timestamp

BINARY_ONLY = ("nulledFields", "diffFields")


def render_payload(schema: EventSchema, encoded: bytes) -> dict[str, Any]:
    """Render a stored event as CometD delivers it."""
    values = schema.decode(encoded)
    header = values.pop(CHANGE_HEADER, None)
    fields = {name: _render_value(schema.docs[name], value) for name, value in values.items()}
    if header is None:
        return fields
    changed = _field_names(header["changedFields"], schema.fields)
    nulled = changed if header["changeType"] == "UPDATE" else []  # other fields with a value enrich the event
    fields = {name: _without_nulls(value) for name, value in fields.items() if name in nulled or value is not None}
    header = {name: value for name, value in header.items() if name not in BINARY_ONLY}
    return {CHANGE_HEADER: {**header, "changedFields": changed}, **fields}


def _field_names(bitmaps: list[str], fields: tuple[str, ...]) -> list[str]:
    """Return the fields that bitmaps name. A compound field stands for its parts."""
    positions: set[int] = set()
    for bitmap in bitmaps:
        parent, _, digits = bitmap.rpartition("-")
        bits = int(digits, 16)
        positions |= (
            {int(parent)} if parent else {position for position in range(bits.bit_length()) if bits >> position & 1}
        )
    return [fields[position] for position in sorted(positions)]


def _render_value(doc: str, value: Any) -> Any:
    """Render milliseconds as the date or time that the schema's documentation of the field says."""
    kind = doc.rpartition(":")[2].lower()
    if not isinstance(value, int) or isinstance(value, bool) or kind not in {"date", "datetime", "time"}:
        return value
    moment = datetime.fromtimestamp(value / 1000, UTC)
    if kind == "datetime":
        return format_timestamp(moment).replace("+0000", "Z")
    return f"{moment:%Y-%m-%d}" if kind == "date" else f"{moment:%H:%M:%S}.{value % 1000:03d}Z"


def _without_nulls(value: Any) -> Any:
    return {name: part for name, part in value.items() if part is not None} if isinstance(value, Mapping) else value


def expanded_schema(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of the whole CometD message around the payload."""
    record = {"type": "record", "name": "Payload", "doc": "", "fields": source["fields"]}
    event = {"type": "record", "name": "Event", "fields": [{"name": "replayId", "type": "long"}]}
    data = {
        "type": "record",
        "name": "Data",
        "namespace": "",
        "fields": [
            {"name": "schema", "type": "string"},
            {"name": "payload", "type": record},
            {"name": "event", "type": event},
        ],
    }
    return {
        **source,
        "type": "expanded-record",
        "fields": [{"name": "data", "type": data}, {"name": "channel", "type": "string"}],
    }
