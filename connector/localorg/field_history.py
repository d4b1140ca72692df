"""Field history: a row in `<Object>History` for each tracked field that a user changed.

Nothing is tracked unless the metadata of the object says `enableHistory`, and that of the field `trackHistory`. Long
texts are recorded without their values (Object Reference, "History objects").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from connector.localorg.schema import Field

if TYPE_CHECKING:
    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row, WritePlan

MAX_VALUE_LENGTH = 255
_DATA_TYPES = {"reference": "EntityId", "boolean": "Boolean", "double": "Double", "currency": "Currency",
               "percent": "Percent", "int": "Integer", "date": "DateOnly", "datetime": "DateTime",
               "picklist": "DynamicEnum", "textarea": "TextArea"}  # fmt: skip


def record_changes(store: RecordStore, plan: WritePlan, old: Row, new: Row, names: Iterable[str]) -> None:
    """Record the change of those of these fields whose history is tracked."""
    tracked = [name for name in sorted(names) if plan.inputs[name.lower()].field.history_tracked]
    if not tracked or not plan.sobject.history_enabled:
        return
    history_plan = store.find_plan(f"{plan.name}History")
    if history_plan is None:
        return
    written = store.rows_written  # history rows do not count as the caller's
    for name in tracked:
        field = plan.inputs[name.lower()].field
        long = field.type == "textarea" and field.length > MAX_VALUE_LENGTH
        before, after = (None, None) if long else (_text(field, old[name]), _text(field, new[name]))
        store.platform_insert(
            history_plan.name,
            **{f"{plan.name}Id": old["Id"]},
            Field=name.removesuffix("Id") if field.type == "reference" else name,
            DataType=_DATA_TYPES.get(field.type, "Text"),
            OldValue=before,
            NewValue=after,
        )
        store.storage.changes.pop()
    store.rows_written = written


def _text(field: Field, value: object) -> str | None:
    if value is None:
        return None
    return str(bool(value)).lower() if field.type == "boolean" else str(value)
