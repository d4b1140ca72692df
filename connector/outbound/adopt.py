"""Reads back orders whose write had an unknown outcome, by our key, and takes what the org holds as the snapshot.

A lost response, a crash between write and record, a database restored from yesterday: in each of them the org knows
more than we do. Sending blindly again would be refused (a line's order and price book entry can only be set once), so
we look first. Two queries serve a whole claim: lines as a child list would come in pages of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from connector.model.record import FieldValue, Link, MappedRecord
from connector.outbound.work import Candidate
from connector.salesforce.query import in_chunks

_ORDERS = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE {key:literal} IN {values}"
_LINES = (
    "SELECT Id, {up:literal}.{order_key:literal}, {columns:literal} FROM {sobject:literal}"
    " WHERE {up:literal}.{order_key:literal} IN {values}"
)


class Reader(Protocol):
    async def query(self, soql: str) -> list[dict[str, Any]]: ...


async def read_back(client: Reader, candidates: Sequence[Candidate], *, multi_currency: bool) -> dict[str, list[Link]]:
    """Links of the order and its lines, by order key, for those of `candidates` that the org has."""
    records = [candidate.record for candidate in candidates if candidate.record is not None]
    if not records:
        return {}
    order, keys = records[0], [record.key for record in records]
    lines = [line for record in records for line in record.children]
    found: dict[str, list[Link]] = {}
    currency = ["CurrencyIsoCode"] if multi_currency else []
    # The status is always asked for: a mapping may leave it to the org, and what is frozen depends on it.
    columns = list(dict.fromkeys([*_columns(records), "Status", *currency]))
    names: dict[str, Any] = {"columns": ", ".join(columns), "sobject": order.sobject, "key": order.external_id}
    for query in in_chunks(_ORDERS, keys, **names):
        for row in await client.query(query):
            key = str(row[order.external_id])
            found[key] = [_link(order.entity, key, order.sobject, row, columns)]
    if not found or not lines:
        return found
    columns = _columns(lines)
    names = {"columns": ", ".join(columns), "order_key": order.external_id, "up": order.sobject}
    names["sobject"] = lines[0].sobject
    for query in in_chunks(_LINES, sorted(found), **names):
        for row in await client.query(query):
            line_key, key = row[lines[0].external_id], str(row[order.sobject][order.external_id])
            if line_key is not None:
                found[key].append(_link(lines[0].entity, str(line_key), lines[0].sobject, row, columns))
    return found


def _columns(records: Sequence[MappedRecord]) -> list[str]:
    names = {record.external_id: None for record in records}
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
