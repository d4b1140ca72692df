"""What the org's administrator declared: record types, validation rules, duplicate rules (see `settings.py`).

Like all rules they run before the row is written, so a condition is evaluated on values, not on a stored row.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connector.localorg.errors import Refusal
from connector.localorg.settings import DuplicateRule, Trigger
from connector.localorg.soql.condition_evaluator import condition_holds, condition_problem
from connector.localorg.storage import quote

if TYPE_CHECKING:
    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row, WritePlan

RECORD_TYPE_ID = "RecordTypeId"


def assign_record_type(store: RecordStore, plan: WritePlan, row: Row) -> None:
    """Set the default record type of a row that names none. Refusal for a type of another object or not available to
    the user.
    """
    if RECORD_TYPE_ID not in plan.column_names:
        return
    if row.get(RECORD_TYPE_ID) is None:
        default = next((item.name for item in store.settings.record_types.get(plan.name, ()) if item.default), None)
        if default is not None:
            row[RECORD_TYPE_ID] = store.scalar(
                'SELECT "Id" FROM "RecordType" WHERE "SobjectType" = ? AND "DeveloperName" = ?', plan.name, default
            )
        return
    withheld = {item.name for item in store.settings.record_types.get(plan.name, ()) if not item.available}
    name = store.scalar(
        'SELECT "DeveloperName" FROM "RecordType" WHERE "Id" = ? AND "IsActive" = 1 AND "SobjectType" = ?',
        row[RECORD_TYPE_ID],
        plan.name,
    )
    if name is None or name in withheld:
        raise Refusal(
            "INVALID_CROSS_REFERENCE_KEY",
            f"Record Type ID: this ID value isn't valid for the user: {row[RECORD_TYPE_ID]}",
            fields=[RECORD_TYPE_ID],
        )


def apply_triggers(store: RecordStore, plan: WritePlan, row: Row) -> None:
    """Set what the triggers of the object set, in the order of the triggers, in a row about to be written."""
    for trigger in store.settings.triggers:
        if trigger.sobject.lower() != plan.name.lower():
            continue
        now = store.clock()
        if not trigger.condition or condition_holds(
            store.storage, store.full_schema, plan.name, trigger.condition, row, now
        ):
            for name, value in trigger.set.items():
                entry = plan.inputs[name.lower()]
                row[entry.name] = entry.coerce(_as_json(value))


def trigger_problem(store: RecordStore, trigger: Trigger) -> str | None:
    """Return what is wrong with a trigger, or None."""
    plan = store.find_plan(trigger.sobject)
    if plan is None or not plan.sobject.createable or plan.sobject.event:
        return f"sobject: this org has no records of {trigger.sobject}"
    problem = trigger.condition and condition_problem(store.full_schema, plan.sobject, trigger.condition)
    if problem:
        return f"condition: {problem}"
    for name, value in trigger.set.items():
        entry = plan.inputs.get(name.lower())
        if entry is None or not (entry.createable and entry.updateable):
            return f"set: {name} is no field of {plan.name} that can be written"
        try:
            entry.coerce(_as_json(value))
        except Refusal as refusal:
            return f"set: {refusal.message}"
    return None


def _as_json(value: object) -> object:
    return Decimal(repr(float(value))) if isinstance(value, float) else value


def check_validation_rules(store: RecordStore, plan: WritePlan, row: Row) -> None:
    """Refuse a row for which the condition of a validation rule holds."""
    for rule in store.settings.validation_rules:
        if rule.sobject.lower() != plan.name.lower():
            continue
        if condition_holds(store.storage, store.full_schema, plan.name, rule.condition, row, store.clock()):
            raise Refusal("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message, fields=[rule.field] if rule.field else [])


def check_duplicate_rules(store: RecordStore, plan: WritePlan, row: Row, changed: set[str] | None) -> None:
    """Refuse a duplicate, unless the rule only alerts and the caller allows it. `changed` is None for a new row."""
    for rule in store.settings.duplicate_rules:
        if rule.sobject.lower() != plan.name.lower() or (rule.action == "alert" and store.allow_duplicates):
            continue
        names = [plan.sobject.all_fields[name.lower()].name for name in rule.match]
        if any(row.get(name) is None for name in names) or (changed is not None and not changed & set(names)):
            continue
        duplicates = list(_matching_ids(store, plan, row, names))
        if duplicates:
            raise Refusal(
                "DUPLICATES_DETECTED",
                rule.message,
                fields=[],
                more={"duplicateResult": _duplicate_result(plan.name, rule, duplicates, store.api_version)},
            )


def _matching_ids(store: RecordStore, plan: WritePlan, row: Row, names: list[str]) -> Iterator[str]:
    same = " AND ".join(f"{quote(name)} = ?" for name in names)
    rows = store.storage.connection.execute(
        f'SELECT "Id" FROM {quote(plan.name)} WHERE {same}{plan.live_condition} AND "Id" IS NOT ? LIMIT 10',  # noqa: S608
        [*(row[name] for name in names), row.get("Id")],
    )
    yield from (record_id for (record_id,) in rows.fetchall())


def _duplicate_result(sobject: str, rule: DuplicateRule, record_ids: list[str], version: str) -> dict[str, Any]:
    base = f"/services/data/v{version}/sobjects/{sobject}"
    records = [
        {
            "additionalInformation": [],
            "fieldDiffs": [],
            "matchConfidence": 100.0,
            "record": {"attributes": {"type": sobject, "url": f"{base}/{record_id}"}, "Id": record_id},
        }
        for record_id in record_ids
    ]
    match = {
        "entityType": sobject, "errors": [], "matchEngine": "ExactMatchEngine", "matchRecords": records,
        "rule": rule.name, "size": len(records), "success": True,
    }  # fmt: skip
    return {
        "allowSave": rule.action == "alert",
        "duplicateRule": rule.name,
        "duplicateRuleEntityType": sobject,
        "errorMessage": rule.message,
        "matchResults": [match],
    }
