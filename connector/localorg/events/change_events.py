"""Change Data Capture: turn the changes of a commit into change events (Change Data Capture developer guide).

A record has one event per transaction, with the first kind of change and the final data. A deletion is a header only, a
creation has all values, an update has the changed ones, named by bitmaps.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connector.localorg.dml import Dml
from connector.localorg.events import avro
from connector.localorg.events.avro import EventSchema
from connector.localorg.faults import Faults
from connector.localorg.storage import Change
from connector.localorg.write_plan import Row, WritePlan

MAX_PER_TRANSACTION = 100_000
"""More changes of an object in one transaction become a single GAP_OVERFLOW event, unless the org is told otherwise."""

WILDCARD_RECORD_ID = "000000000000000AAA"
ALWAYS_INCLUDED = frozenset({"LastModifiedDate"})
"""Fields in every update event, changed or not."""


def change_origin(api: str, version: str, client: str) -> str:
    """Return the `changeOrigin` of a write: the API, its version, and the client if it named itself."""
    return f"com/salesforce/api/{api}/{version}" + (f";client={client}" if client else "")


@dataclass(frozen=True, kw_only=True)
class ChangeEvent:
    """A change event: its payload, the row behind it, and the columns of the row that the payload carries."""

    sobject: str
    payload: dict[str, Any]
    row: Row
    visible: frozenset[str]

    @property
    def header(self) -> dict[str, Any]:
        return dict(self.payload[avro.CHANGE_HEADER])

    def enrich(self, plan: WritePlan, schema: EventSchema, names: Sequence[str]) -> ChangeEvent:
        """Return the event with these columns added. Only updates and deletions are enriched."""
        if not self.row or self.payload[avro.CHANGE_HEADER]["changeType"] not in {"UPDATE", "DELETE"}:
            return self
        visible = self.visible | set(names)
        compounds, wanted = _compound_fields(plan, self.row), set(names)
        more = {name: _field_value(plan, self.row, name, compounds, only=set(visible)) for name in schema.fields[1:]
                if name in wanted or wanted.intersection(compounds.get(name, {}).values())}  # fmt: skip
        return replace(self, payload={**self.payload, **more}, visible=visible)


@dataclass
class _RecordChange:
    """What a transaction did to one record."""

    sobject: str
    id: str
    kind: str
    fields: set[str] = field(default_factory=set)
    gone: bool = False


def merge_same(events: Sequence[ChangeEvent]) -> list[ChangeEvent]:
    """Merge the events of a commit that tell the same change of several records into one with all their IDs."""
    merged: dict[str, ChangeEvent] = {}
    for number, event in enumerate(events):
        header = event.header
        same = {name: value for name, value in header.items() if name not in {"recordIds", "sequenceNumber"}}
        mergeable = header["changeType"] in {"UPDATE", "DELETE"}
        key = repr((event.payload | {avro.CHANGE_HEADER: same}) if mergeable else number)
        if key in merged:
            merged[key].payload[avro.CHANGE_HEADER]["recordIds"] += header["recordIds"]
        else:
            merged[key] = replace(event, payload={**event.payload, avro.CHANGE_HEADER: header | {
                "recordIds": list(header["recordIds"])}})  # fmt: skip
    return list(merged.values())


def merge_changes(changes: Sequence[Change]) -> list[_RecordChange]:
    """Merge changes to one entry per record, in order of the first change. A record created and deleted has none."""
    changes_by_id: dict[str, _RecordChange] = {}
    for change in changes:
        entry = changes_by_id.setdefault(change.id, _RecordChange(change.sobject, change.id, change.kind))
        entry.fields |= set(change.fields)
        if change.kind == "DELETE":
            entry.gone = True
            if entry.kind == "UPDATE":
                entry.kind = "DELETE"
        elif change.kind in {"UNDELETE", "CREATE"}:
            entry.gone = False
    return [entry for entry in changes_by_id.values() if not (entry.gone and entry.kind == "CREATE")]


class ChangeCapture:
    """Turns commits into change events."""

    def __init__(self, dml: Dml, faults: Faults) -> None:
        self._dml = dml
        self._faults = faults
        self.commit_number = 0
        self.max_per_transaction = MAX_PER_TRANSACTION

    def change_events(
        self, changes: Sequence[Change], schemas: Mapping[str, EventSchema], *, origin: str, milliseconds: int
    ) -> list[ChangeEvent]:
        """Return the events of a commit, for the objects that have a schema here."""
        self.commit_number += 1
        transaction = str(uuid.uuid4())
        entries = merge_changes(changes)
        over = {name for name in schemas if sum(entry.sobject == name for entry in entries) > self.max_per_transaction}
        events: list[ChangeEvent] = []
        for number, entry in enumerate(entries, start=1):
            schema = schemas.get(entry.sobject)
            if schema is None:
                continue  # its number is skipped: sequences have gaps
            overflow = entry.sobject in over
            if overflow and any(item.sobject == entry.sobject for item in events):
                continue
            header = {
                "entityName": entry.sobject,
                "recordIds": [WILDCARD_RECORD_ID if overflow else entry.id],
                "changeType": "GAP_OVERFLOW" if overflow else self._change_type(entry.kind),
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
            events.append(self._change_event(entry, header, schema))
        return events

    def _change_type(self, kind: str) -> str:
        return f"GAP_{kind}" if self._faults.take("event_gap") else kind

    def _change_event(self, entry: _RecordChange, header: dict[str, Any], schema: EventSchema) -> ChangeEvent:
        payload: dict[str, Any] = {avro.CHANGE_HEADER: header, **dict.fromkeys(schema.fields[1:])}
        plan = self._dml.plan(entry.sobject)
        row = {} if header["changeType"].startswith("GAP_") else self._dml.row(plan, entry.id) or {}
        event = ChangeEvent(sobject=entry.sobject, payload=payload, row=row, visible=frozenset())
        if not row or entry.kind == "DELETE":
            return event
        if entry.kind != "UPDATE":
            compounds = _compound_fields(plan, row)
            payload.update({name: _field_value(plan, row, name, compounds) for name in schema.fields[1:]})
            return replace(event, visible=plan.column_names)
        changed = entry.fields | (ALWAYS_INCLUDED & plan.column_names)
        compounds = _compound_fields(plan, row)
        touched = {name for name, parts in compounds.items() if changed.intersection(parts.values())} | changed
        for name in schema.fields[1:]:
            if name in touched:
                payload[name] = _field_value(plan, row, name, compounds, only=changed)
        header["changedFields"] = _bitmaps(schema, compounds, changed)
        nulled = {name for name in changed if row.get(name) is None}
        header["nulledFields"] = _bitmaps(schema, compounds, nulled)
        return replace(event, visible=frozenset(changed))


_Compounds = Mapping[str, Mapping[str, str]]
"""The columns of each compound field by the part's name in the schema."""


def _compound_fields(plan: WritePlan, row: Row) -> _Compounds:
    """Return the compound fields of a row: addresses, and the name of a person."""
    compounds = {
        name: {part: name.removesuffix("Address") + part for part, _ in avro.ADDRESS_PARTS} for name in plan.addresses
    }
    if plan.name == "Contact" or row.get("IsPersonAccount"):
        compounds["Name"] = {part: part for part in avro.NAME_PARTS}
    return compounds


def _field_value(plan: WritePlan, row: Row, name: str, compounds: _Compounds, only: set[str] | None = None) -> Any:
    parts = compounds.get(name)
    if parts is None:
        field_column = plan.inputs.get(name.lower())  # None if the running user may not see the field
        return avro.encode_value(field_column.field, row.get(name)) if field_column else None
    values = {
        part: row.get(field_column) if only is None or field_column in only else None
        for part, field_column in parts.items()
    }
    return None if all(value is None for value in values.values()) and only is None else values


def _bitmaps(schema: EventSchema, compounds: _Compounds, names: set[str]) -> list[str]:
    """Return the bitmaps of changed fields: one for plain fields, one for each compound field behind its position."""
    own = {index for index, name in enumerate(schema.fields) if name in names and name not in compounds}
    nested: list[str] = []
    for index, parts in [(index, compounds[name]) for index, name in enumerate(schema.fields) if name in compounds]:
        if bits := {bit for bit, column in enumerate(parts.values()) if column in names}:
            nested.append(f"{index}-{avro.bitmap(bits)}")
    return [avro.bitmap(own), *nested] if own else nested
