"""Cases and tasks: closed by their status; they copy data from the contact or account they refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.field_values import format_timestamp
from connector.localorg.rules.rule import Rule

if TYPE_CHECKING:
    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row

CLOSED_STATUS = {"Case": "Closed", "Task": "Completed"}
_CONTACT_FIELDS = (
    ("ContactPhone", "Phone"), ("ContactMobile", "MobilePhone"), ("ContactEmail", "Email"), ("ContactFax", "Fax"),
)  # fmt: skip


class CaseRule(Rule):
    def prepare(self, store: RecordStore, row: Row, given: Row) -> None:
        contact = store.fetch("Contact", row.get("ContactId")) or {}
        row.update({name: contact.get(source) for name, source in _CONTACT_FIELDS})
        row["AccountId"] = row.get("AccountId") or contact.get("AccountId")
        closed = row.get("Status") == CLOSED_STATUS["Case"]
        row["IsClosed"] = int(closed)
        row["ClosedDate"] = (row.get("ClosedDate") or format_timestamp(store.clock())) if closed else None

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        self.prepare(store, new, {})


class TaskRule(Rule):
    def prepare(self, store: RecordStore, row: Row, given: Row) -> None:
        row["TaskSubtype"] = row.get("TaskSubtype") or "Task"
        row["IsHighPriority"] = int(row.get("Priority") == "High")
        closed = row.get("Status") == CLOSED_STATUS["Task"]
        row["IsClosed"] = int(closed)
        row["CompletedDateTime"] = (row.get("CompletedDateTime") or format_timestamp(store.clock())) if closed else None
        row["AccountId"] = self._account(store, row)

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        self.prepare(store, new, {})

    def _account(self, store: RecordStore, row: Row) -> str | None:
        """Return the account of the record that the task refers to."""
        for name in ("WhatId", "WhoId"):
            related_id = str(row.get(name) or "")
            sobject = store.schema.by_record_id(related_id) if related_id else None
            if sobject is None:
                continue
            account_id = (
                related_id
                if sobject.name == "Account"
                else (store.fetch(sobject.name, related_id) or {}).get("AccountId")
            )
            if account_id:
                return str(account_id)
        return None
