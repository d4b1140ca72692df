"""Merge up to three records of one object, as the SOAP call `merge` does.

The losers are deleted and `MasterRecordId` names the winner, so that `queryAll` still finds them. Every record that
referred to a loser refers to the winner afterwards, activated orders included. All of it is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.localorg import ids
from connector.localorg.errors import Refusal
from connector.localorg.storage import Change, quote

if TYPE_CHECKING:
    from connector.localorg.dml import Dml
    from connector.localorg.write_plan import Body, Row, WritePlan

MERGEABLE = frozenset({"Account", "Contact"})
MAX_LOSERS = 2
_MASTER = "MasterRecordId"


@dataclass(frozen=True, kw_only=True)
class MergeResult:
    """IDs of the winner, of the losers, and of the records that refer to the winner now."""

    id: str
    merged: tuple[str, ...]
    related: tuple[str, ...]


def merge_records(dml: Dml, name: str, master_id: str, fields: Body, loser_ids: Sequence[str]) -> MergeResult:
    """Merge the losers into the master, which takes on `fields`. A Refusal leaves everything as it was."""
    plan = dml.find_plan(name)
    if plan is None:
        raise Refusal("INVALID_TYPE", f"sObject type '{name}' is not supported.")
    if plan.name not in MERGEABLE:
        raise Refusal("INVALID_TYPE_FOR_OPERATION", f"entity type {plan.name} does not support merge")
    if not 1 <= len(loser_ids) <= MAX_LOSERS:
        raise Refusal("NUMBER_OUTSIDE_VALID_RANGE", f"recordToMergeIds: between 1 and {MAX_LOSERS} IDs are needed")
    record_ids = [ids.normalize(item) or item for item in (master_id, *loser_ids)]
    if len(set(record_ids)) != len(record_ids):
        raise Refusal("INVALID_ARGUMENT", "A record can't be merged with itself: each ID may be given once")
    with dml.storage.transaction(), dml.deferred_totals():
        master, *losers = [dml.live_row(plan, item) for item in record_ids]
        _check_mergeable(plan, master, losers)
        related: list[str] = []
        for loser in losers:
            related += _merge_row(dml, plan, master, loser)
        if fields:
            for outcome in dml.update(plan, [(str(master["Id"]), fields)]):
                if outcome.error is not None:
                    raise outcome.error
        else:
            dml.platform_update(plan.name, master["Id"], {}, touch=True)
            dml.storage.changes.append(Change(plan.name, str(master["Id"]), "UPDATE"))
    merged = tuple(str(loser["Id"]) for loser in losers)
    return MergeResult(id=str(master["Id"]), merged=merged, related=tuple(dict.fromkeys(related)))


def _check_mergeable(plan: WritePlan, master: Row, losers: Sequence[Row]) -> None:
    if plan.name == "Contact" and any(row.get("IsPersonAccount") for row in (master, *losers)):
        raise Refusal("MERGE_FAILED", "The contact of a person account is merged with its account.", fields=[])
    for loser in losers:
        if bool(master.get("IsPersonAccount")) != bool(loser.get("IsPersonAccount")):
            raise Refusal("MERGE_FAILED", "A person account can't be merged with a business account.", fields=[])
        if plan.name == "Account" and master.get("ParentId") == loser["Id"]:
            raise Refusal("MERGE_FAILED", "The merge would make the account its own parent.", fields=["ParentId"])


def _merge_row(dml: Dml, plan: WritePlan, master: Row, loser: Row) -> list[str]:
    moved_ids = _move_children(dml, plan, str(loser["Id"]), str(master["Id"]))
    person_contact = dml.fetch("Contact", loser.get("PersonContactId"))
    if person_contact is not None:
        contacts = dml.plan("Contact")
        moved_ids += _move_children(dml, contacts, str(person_contact["Id"]), str(master["PersonContactId"]))
        _set_master(dml, contacts, person_contact, str(master["PersonContactId"]))
    _set_master(dml, plan, loser, str(master["Id"]))
    dml.remove(plan, loser)
    return moved_ids


def _set_master(dml: Dml, plan: WritePlan, loser: Row, master_id: str) -> None:
    """Write the winner's ID into the loser. Only the deletion that follows is reported as a change."""
    if _MASTER in plan.column_names:
        dml.platform_update(plan.name, loser["Id"], {_MASTER: master_id})
        dml.storage.changes.pop()
        dml.rows_written -= 1


def _move_children(dml: Dml, plan: WritePlan, loser_id: str, master_id: str) -> list[str]:
    """Point every live reference to the loser at the master."""
    moved_ids: list[str] = []
    for child in dml.schema.children_of(plan.name):
        other = dml.find_plan(child.child)
        if other is None or other.sobject.event or child.field in {_MASTER, "PersonContactId"}:
            continue
        if child.field not in other.column_names or "Id" not in other.column_names:
            continue
        for row in dml.select(child.child, f"{quote(child.field)} = ?{other.live_condition}", loser_id):
            if other.name == "Contact" and row.get("IsPersonAccount"):
                continue  # the person's own contact goes with its account
            dml.platform_update(other.name, row["Id"], {child.field: master_id})
            moved_ids.append(str(row["Id"]))
    return moved_ids
