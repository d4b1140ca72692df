"""Check a request body: its fields, their types and references, required fields, unique values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from connector.localorg.errors import MultipleMatches, Refusal, invalid_reference
from connector.localorg.field_values import type_mismatch, wrong_type_id
from connector.localorg.schema import Field
from connector.localorg.write_plan import InputField, Row, WritePlan

if TYPE_CHECKING:
    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Body


def stored_values(store: RecordStore, plan: WritePlan, body: Body, *, creating: bool) -> Row:
    """Return the values to store, by column. Refusal for an unknown or read-only field, a wrong type or a bad
    reference.
    """
    values, read_only = _read_body(store, plan, body, creating=creating)
    if read_only:
        raise Refusal(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            f"Unable to create/update fields: {', '.join(read_only)}. Please check the security settings of this"
            " field and verify that it is read/write for your profile or permission set.",
            fields=read_only,
        )
    return values


def _read_body(store: RecordStore, plan: WritePlan, body: Body, *, creating: bool) -> tuple[Row, list[str]]:
    values: Row = {}
    read_only: list[str] = []
    for name, value in body.items():
        entry = plan.inputs.get(name.lower())
        if entry is None:
            if name == "attributes":
                continue
            entry = plan.relationships.get(name.lower())
            if entry is None or not (isinstance(value, dict) or value is None):
                raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {plan.name}")
            if isinstance(value, dict):
                value = _resolve_external_id(store, entry, value)
        if not (entry.createable if creating else entry.updateable):
            read_only.append(entry.name)
            continue
        values[entry.name] = stored = entry.coerce(value)
        if entry.targets and stored is not None:
            _check_reference(store, entry, str(stored))
    return values, read_only


def _resolve_external_id(store: RecordStore, entry: InputField, value: Body) -> str:
    """Return the record ID behind a reference like `"Account": {"External_Key__c": "C-1"}`."""
    keys = {name: item for name, item in value.items() if name.lower() != "attributes"}
    kind = value.get("attributes", {}).get("type") if isinstance(value.get("attributes"), dict) else None
    target = kind or (entry.targets[0] if entry.targets else "")
    plan = store.find_plan(str(target))
    if plan is None or len(keys) != 1:
        raise Refusal("INVALID_FIELD", f"A single external ID field is needed to refer to {target}")
    ((name, key),) = keys.items()
    field = plan.inputs.get(name.lower())
    if field is None or not (field.field.external_id or field.field.id_lookup or field.name == "Id"):
        raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {plan.name}")
    if isinstance(key, dict | list):
        raise type_mismatch("string", key)
    try:
        record_id = store.find(plan, field, key)
    except MultipleMatches as several:
        raise Refusal(
            "INVALID_FIELD", f"More than one record found for external id field {field.name} in entity {plan.name}"
        ) from several
    if record_id is None:
        key_text = str(key).lower()
        raise Refusal(
            "INVALID_FIELD",
            f"Foreign key external ID: {key_text} not found for field {field.name} in entity {plan.name}",
        )
    return record_id


def _check_reference(store: RecordStore, entry: InputField, record_id: str) -> None:
    target = entry.prefixes.get(record_id[:3])
    if target is None:
        if store.schema.by_record_id(record_id) is None:
            raise invalid_reference([entry.name])
        raise wrong_type_id(entry.field, record_id)
    deleted = store.scalar(store.plan(target).is_deleted_sql, record_id)
    if deleted is None:
        raise invalid_reference([entry.name])
    if deleted:
        raise Refusal("ENTITY_IS_DELETED", "entity is deleted", fields=[entry.name], status=400)


def check_required(row: Row, fields: Sequence[Field]) -> None:
    """Refuse a row that lacks a required field."""
    missing = [field for field in fields if row.get(field.name) is None]
    field_names = [field.name for field in missing if not field.required_message]
    messages = [field.required_message for field in missing if field.required_message]
    if field_names:
        raise Refusal(
            "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(field_names)}]", fields=field_names
        )
    if messages:
        raise Refusal("REQUIRED_FIELD_MISSING", messages[0], fields=[])


def check_unique(store: RecordStore, plan: WritePlan, row: Row, changed: set[str] | None) -> None:
    """Refuse a second record with the same unique value. `changed` is None for a new row."""
    for field in plan.unique:
        value = row[field.name]
        if value is None or (changed is not None and field.name not in changed):
            continue
        other = store.scalar(plan.key_sql(field.name), value)
        if other is not None and other != row.get("Id"):
            raise Refusal(
                "DUPLICATE_VALUE",
                f"duplicate value found: {field.name} duplicates value on record with id: {other}",
                fields=[],
            )
