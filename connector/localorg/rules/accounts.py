"""Accounts and contacts: composed names, person accounts, and what the deletion of an account takes along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal
from connector.localorg.rules import person_accounts
from connector.localorg.rules.person_accounts import full_name
from connector.localorg.rules.rule import Rule, delete_blocked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row, WritePlan


class AccountRule(Rule):
    def prepare(self, store: RecordStore, row: Row, given: Row) -> None:
        if "IsPersonAccount" in row:
            person_accounts.prepare_insert(store, row, given)

    def insert(self, store: RecordStore, row: Row, given: Row) -> None:
        if row.get("Name") is None:
            raise Refusal("REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", fields=["Name"])

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        if "IsPersonAccount" in old:
            person_accounts.check_update(store, old, new, changed)

    def saved(self, store: RecordStore, row: Row, old: Row | None) -> None:
        if row.get("IsPersonAccount"):
            person_accounts.sync_contact(store, row, old)

    def delete(self, store: RecordStore, row: Row) -> None:
        plan = store.find_plan("Order")
        if plan is None:
            return
        for order in store.select("Order", '"AccountId" = ? AND "IsDeleted" = 0', row["Id"]):
            if plan.status_category(order["Status"]) != "Draft":
                raise delete_blocked(row["Name"], "orders", order["OrderNumber"])

    def dependents(self, store: RecordStore, row: Row) -> Iterator[tuple[WritePlan, Row]]:
        for name in ("Contact", "Order", "Contract"):
            if store.schema.get(name) is not None:
                for child in store.select(name, '"AccountId" = ? AND "IsDeleted" = 0', row["Id"]):
                    yield store.plan(name), child


class ContactRule(Rule):
    def insert(self, store: RecordStore, row: Row, given: Row) -> None:
        row["Name"] = full_name(row)

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        person_accounts.check_not_person_contact(old)
        new["Name"] = full_name(new)

    def delete(self, store: RecordStore, row: Row) -> None:
        person_accounts.check_not_person_contact(row)
