"""Reads back orders whose write had an unknown outcome, by our key, and takes what the org holds as the snapshot.

A lost response, a crash between write and record, a database restored from yesterday: in each of them the org knows
more than we do. Sending blindly again would be refused (a line's order and price book entry can only be set once), so
we look first. One query serves a whole claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from connector.model.record import FieldValue, Link, MappedRecord
from connector.outbound.work import Candidate
from connector.salesforce.query import in_chunks


class Reader(Protocol):
    async def query(self, soql: str) -> list[dict[str, Any]]: ...


async def read_back(client: Reader, candidates: Sequence[Candidate]) -> dict[str, list[Link]]:
    """Links of the order and its lines, by order key, for those of `candidates` that the org has."""
    records = [candidate.record for candidate in candidates if candidate.record is not None]
    if not records:
        return {}
    order = records[0]
    columns = _columns(records)
    lines = [line for record in records for line in record.children]
    line_columns = _columns(lines)
    template = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE {key:literal} IN {values}"
    if lines:
        template = template.replace(" FROM", ", (SELECT Id, {line_columns:literal} FROM OrderItems) FROM", 1)
    names: dict[str, Any] = {
        "columns": ", ".join(columns),
        "line_columns": ", ".join(line_columns),
        "sobject": order.sobject,
        "key": order.external_id,
    }
    found: dict[str, list[Link]] = {}
    for query in in_chunks(template, [record.key for record in records], **names):
        for row in await client.query(query):
            key = str(row[order.external_id])
            found[key] = [_link("order", key, order.sobject, row, columns)]
            for item in (row.get("OrderItems") or {}).get("records", ()):
                line_key = item.get(lines[0].external_id)
                if line_key is not None:
                    found[key].append(_link("line", str(line_key), lines[0].sobject, item, line_columns))
    return found


def _columns(records: Sequence[MappedRecord]) -> list[str]:
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record.fields))
        names.update(dict.fromkeys(record.lookups))
    return list(names)


def _link(entity: str, key: str, sobject: str, row: Mapping[str, Any], columns: Sequence[str]) -> Link:
    return Link(
        entity=entity,
        key=key,
        sobject=sobject,
        salesforce_id=str(row["Id"]),
        snapshot={name: _value(row.get(name)) for name in columns},
    )


def _value(value: Any) -> FieldValue:
    if value is None or isinstance(value, str | bool | int | Decimal):
        return value
    raise TypeError(f"a mapped field cannot hold {value!r}")
