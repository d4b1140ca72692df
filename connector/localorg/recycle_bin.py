"""The recycle bin: restore deleted records with what was deleted along (`undelete`), or delete them for good (`purge`).

Order products never go there. A merged record comes back alone: the children that the merge moved stay with the winner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from connector.localorg import dml_validation, ids
from connector.localorg.dml import Outcome
from connector.localorg.errors import Refusal
from connector.localorg.storage import Change, quote

if TYPE_CHECKING:
    from connector.localorg.dml import Dml
    from connector.localorg.write_plan import Row, WritePlan


def undelete(dml: Dml, record_ids: Sequence[str]) -> list[Outcome]:
    return _for_each_record(dml, record_ids, _undelete)


def purge(dml: Dml, record_ids: Sequence[str]) -> list[Outcome]:
    """Delete these records for good. No change event reports it."""
    return _for_each_record(dml, record_ids, _purge)


def hard_delete(dml: Dml, record_ids: Sequence[str]) -> list[Outcome]:
    """Delete live records past the recycle bin."""
    with dml.storage.transaction():
        outcomes = dml.delete(record_ids)
        purge(dml, [outcome.id for outcome in outcomes if outcome.id is not None])
    return outcomes


def _for_each_record(dml: Dml, record_ids: Sequence[str], act: Callable[[Dml, WritePlan, Row], None]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with dml.storage.transaction(), dml.deferred_totals():
        for record_id in record_ids:
            try:
                plan, row = _deleted_row(dml, record_id)
                with dml.storage.savepoint():
                    act(dml, plan, row)
                outcomes.append(Outcome(id=str(row["Id"])))
            except Refusal as refusal:
                outcomes.append(Outcome(error=refusal))
    return outcomes


def _deleted_row(dml: Dml, record_id: str) -> tuple[WritePlan, Row]:
    full = ids.normalize(record_id)
    sobject = dml.schema.by_record_id(full) if full else None
    if full is None or sobject is None or sobject.event:
        raise Refusal("MALFORMED_ID", f"malformed id {record_id}", fields=["Id"])
    plan = dml.plan(sobject.name)
    row = dml.row(plan, full)
    if row is None or not row.get("IsDeleted"):
        raise Refusal("UNDELETE_FAILED", "Entity is not in the recycle bin", fields=[])
    return plan, row


def _cascaded_rows(dml: Dml, row: Row) -> list[tuple[WritePlan, Row]]:
    """Return the rows that were deleted along with a record and are still in the recycle bin."""
    entries = dml.storage.connection.execute("SELECT id FROM _cascade WHERE root = ? ORDER BY rowid", (row["Id"],))
    cascaded = []
    for (record_id,) in entries.fetchall():
        sobject = dml.schema.by_record_id(str(record_id))
        other = dml.row(dml.plan(sobject.name), record_id) if sobject else None
        if sobject is not None and other is not None and other.get("IsDeleted"):
            cascaded.append((dml.plan(sobject.name), other))
    return cascaded


def _undelete(dml: Dml, plan: WritePlan, row: Row) -> None:
    parents = [
        item for item in plan.sobject.all_fields.values() if item.cascade_delete and row.get(item.name) is not None
    ]
    if any(dml.scalar(dml.plan(item.reference_to[0]).is_deleted_sql, row[item.name]) != 0 for item in parents):
        raise Refusal("UNDELETE_FAILED", "The record's parent is deleted: undelete the parent", fields=[])
    for other, item in [(plan, row), *_cascaded_rows(dml, row)]:
        dml_validation.check_unique(dml, other, item, None)
        back: Row = {"IsDeleted": 0}
        if item.get("MasterRecordId") is not None:
            back["MasterRecordId"] = None
        dml.platform_update(other.name, item["Id"], back, touch=True)
        dml.storage.changes[-1] = Change(other.name, str(item["Id"]), "UNDELETE")
        _drop_cascade_entry(dml, other, item)
        dml.storage.connection.execute("DELETE FROM _deletion WHERE sobject = ? AND id = ?", (other.name, item["Id"]))


def _purge(dml: Dml, plan: WritePlan, row: Row) -> None:
    for other, item in [(plan, row), *_cascaded_rows(dml, row)]:
        dml.storage.connection.execute(f'DELETE FROM {quote(other.name)} WHERE "Id" = ?', (item["Id"],))  # noqa: S608
        dml.rows_written += 1
        _drop_cascade_entry(dml, other, item)


def _drop_cascade_entry(dml: Dml, plan: WritePlan, row: Row) -> None:
    dml.storage.connection.execute("DELETE FROM _cascade WHERE id = ?", (row["Id"],))
