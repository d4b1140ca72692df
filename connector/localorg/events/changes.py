"""Change Data Capture: what a commit changed, as change events (Change Data Capture guide).

One event a record, whatever happened to it in the transaction: the first kind of change, the final data. A deletion is
a header only, a creation has all values, an update has the changed ones, named by bitmaps.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.localorg.dml import Dml
from connector.localorg.events import avro
from connector.localorg.events.avro import EventSchema
from connector.localorg.faults import Faults
from connector.localorg.plan import Plan, Row
from connector.localorg.storage import Change

MOST_IN_TRANSACTION = 100_000
"""More changes of an entity in one transaction overflow into a single GAP_OVERFLOW event."""

EVERY_RECORD = "000000000000000AAA"
STAMPS = frozenset({"LastModifiedDate"})
"""Told with every update, changed by it or not."""


@dataclass
class _Merged:
    """What a transaction did to one record."""

    sobject: str
    id: str
    kind: str
    fields: set[str] = field(default_factory=set)
    gone: bool = False


def merged(changes: Sequence[Change]) -> list[_Merged]:
    """One entry a record, in the order of their first change; what was made and undone leaves nothing."""
    found: dict[str, _Merged] = {}
    for change in changes:
        entry = found.setdefault(change.id, _Merged(change.sobject, change.id, change.kind))
        entry.fields |= set(change.fields)
        if change.kind == "DELETE":
            entry.gone = True
            if entry.kind == "UPDATE":
                entry.kind = "DELETE"
        elif change.kind in {"UNDELETE", "CREATE"}:
            entry.gone = False
    return [entry for entry in found.values() if not (entry.gone and entry.kind == "CREATE")]


class Capture:
    """Turns commits into payloads."""

    def __init__(self, dml: Dml, faults: Faults) -> None:
        self._dml = dml
        self._faults = faults
        self.commit_number = 0

    def payloads(
        self, changes: Sequence[Change], schemas: Mapping[str, EventSchema], *, origin: str, milliseconds: int
    ) -> list[tuple[str, dict[str, Any]]]:
        """(sObject, payload) for each change of an object that has a schema here."""
        self.commit_number += 1
        transaction = str(uuid.uuid4())
        entries = merged(changes)
        over = {name for name in schemas if sum(entry.sobject == name for entry in entries) > MOST_IN_TRANSACTION}
        told: list[tuple[str, dict[str, Any]]] = []
        for number, entry in enumerate(entries, start=1):
            schema = schemas.get(entry.sobject)
            if schema is None:
                continue  # its number is used up: sequences have gaps
            overflow = entry.sobject in over
            if overflow and any(name == entry.sobject for name, _ in told):
                continue
            header = {
                "entityName": entry.sobject,
                "recordIds": [EVERY_RECORD if overflow else entry.id],
                "changeType": "GAP_OVERFLOW" if overflow else self._kind(entry.kind),
                "changeOrigin": origin,
                "transactionKey": transaction,
                "sequenceNumber": number,
                "commitTimestamp": milliseconds,
                "commitNumber": self.commit_number,
                "commitUser": self._dml.user_id,
                "nulledFields": [],
                "diffFields": [],
                "changedFields": [],
            }
            told.append((entry.sobject, self._payload(entry, header, schema)))
        return told

    def _kind(self, kind: str) -> str:
        return f"GAP_{kind}" if self._faults.take("event_gap") else kind

    def _payload(self, entry: _Merged, header: dict[str, Any], schema: EventSchema) -> dict[str, Any]:
        payload: dict[str, Any] = {avro.CHANGE_HEADER: header, **dict.fromkeys(schema.fields[1:])}
        if header["changeType"].startswith("GAP_") or entry.kind == "DELETE":
            return payload
        plan = self._dml.plan(entry.sobject)
        row = self._dml.row(plan, entry.id) or {}
        if entry.kind != "UPDATE":
            payload.update({name: _value(plan, row, name) for name in schema.fields[1:]})
            return payload
        changed = entry.fields | (STAMPS & plan.has)
        for name in schema.fields[1:]:
            if name in changed or changed.intersection(_parts(plan, name).values()):
                payload[name] = _value(plan, row, name, only=changed)
        header["changedFields"] = _bitmaps(plan, schema, changed)
        header["nulledFields"] = _bitmaps(plan, schema, {name for name in changed if row.get(name) is None})
        return payload


def _parts(plan: Plan, name: str) -> dict[str, str]:
    """Of a compound field: column by the part's name in the schema. Empty for a plain one."""
    if name in plan.addresses:
        prefix = name.removesuffix("Address")
        return {part: prefix + part for part, _ in avro.ADDRESS_PARTS}
    if name == "Name" and plan.name == "Contact":
        return {part: part for part in avro.PERSON_PARTS}
    return {}


def _value(plan: Plan, row: Row, name: str, only: set[str] | None = None) -> Any:
    parts = _parts(plan, name)
    if not parts:
        seen = plan.inputs.get(name.lower())  # none for a field that the running user may not see
        return avro.value(seen.field, row.get(name)) if seen else None
    found = {part: row.get(column) if only is None or column in only else None for part, column in parts.items()}
    return None if all(value is None for value in found.values()) and only is None else found


def _bitmaps(plan: Plan, schema: EventSchema, names: set[str]) -> list[str]:
    """Changed fields as bits by their place in the schema, those inside a compound field behind its place."""
    own: set[int] = set()
    nested: list[str] = []
    for place, name in enumerate(schema.fields):
        parts = _parts(plan, name)
        if not parts:
            own |= {place} if name in names else set()
        elif bits := {bit for bit, column in enumerate(parts.values()) if column in names}:
            nested.append(f"{place}-{avro.bitmap(bits)}")
    return [avro.bitmap(own), *nested] if own else nested
