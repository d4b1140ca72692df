"""Contracts: drafted first, activated later; the end date follows from start and term."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal
from connector.localorg.field_values import format_timestamp
from connector.localorg.rules.rule import Rule, delete_blocked

if TYPE_CHECKING:
    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row


class ContractRule(Rule):
    def prepare(self, store: RecordStore, row: Row, given: Row) -> None:
        if row.get("Status") is None:
            row["Status"] = "Draft"

    def insert(self, store: RecordStore, row: Row, given: Row) -> None:
        category = store.plan("Contract").status_category(row["Status"]) or row["Status"]
        if category == "Activated":
            raise Refusal(
                "FAILED_ACTIVATION", "Choose a valid contract status and save your changes. Ask your admin for details."
            )
        row["StatusCode"] = category
        _set_end_date(row)

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        plan = store.plan("Contract")
        category = plan.status_category(new["Status"]) or new["Status"]
        if category != old.get("StatusCode"):
            new["StatusCode"] = category
            if category == "Activated":
                new["ActivatedDate"] = format_timestamp(store.clock())
                new["ActivatedById"] = store.user_id
        elif category == "Activated" and "AccountId" in changed:
            raise Refusal("FIELD_INTEGRITY_EXCEPTION", "unable to modify activated contract", fields=["AccountId"])
        _set_end_date(new)

    def delete(self, store: RecordStore, row: Row) -> None:
        if row.get("StatusCode") == "Activated":
            raise Refusal("DELETE_FAILED", "unable to modify activated contract", fields=[])
        number = store.scalar('SELECT "OrderNumber" FROM "Order" WHERE "ContractId" = ? AND "IsDeleted" = 0', row["Id"])
        if number is not None:
            raise delete_blocked(row.get("ContractNumber"), "orders", number)


def _set_end_date(row: Row) -> None:
    start, term = row.get("StartDate"), row.get("ContractTerm")
    if not isinstance(start, str) or not isinstance(term, int) or "EndDate" not in row:
        return
    first = date.fromisoformat(start)
    months = first.month - 1 + term
    year, month = first.year + months // 12, months % 12 + 1
    if year > 4000:
        return
    day = min(first.day, calendar.monthrange(year, month)[1])
    row["EndDate"] = (date(year, month, day) - timedelta(days=1)).isoformat()
