"""Accounts and contacts: names that are composed, and what an account's deletion takes along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.rules.rule import Rule, in_use

if TYPE_CHECKING:
    from connector.localorg.dml import Dml
    from connector.localorg.plan import Row


class AccountRule(Rule):
    def delete(self, dml: Dml, row: Row) -> None:
        plan = dml.plan("Order")
        for order in dml.select("Order", '"AccountId" = ? AND "IsDeleted" = 0', row["Id"]):
            if plan.category(order["Status"]) != "Draft":
                raise in_use(row["Name"], "orders", order["OrderNumber"])

    def cascade(self, dml: Dml, row: Row) -> None:
        for name in ("Contact", "Order", "Contract"):
            if dml.schema.get(name) is not None:
                for child in dml.select(name, '"AccountId" = ? AND "IsDeleted" = 0', row["Id"]):
                    dml.remove(dml.plan(name), child)


class ContactRule(Rule):
    def insert(self, dml: Dml, row: Row, given: Row) -> None:
        row["Name"] = _full_name(row)

    def update(self, dml: Dml, old: Row, new: Row, changed: set[str]) -> None:
        new["Name"] = _full_name(new)


def _full_name(row: Row) -> str:
    parts = (row.get("FirstName"), row.get("MiddleName"), row.get("LastName"), row.get("Suffix"))
    return " ".join(str(part) for part in parts if part)
