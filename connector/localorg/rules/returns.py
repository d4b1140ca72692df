"""Returns: a status that says which category it is in, lines that name what comes back, and their totals."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal
from connector.localorg.field_values import exact, round_to
from connector.localorg.rules.rule import Rule, broken

if TYPE_CHECKING:
    from connector.localorg.dml import Dml
    from connector.localorg.write_plan import Row

LINE_TOTALS = ("TotalLineAmount", "TotalPrice", "TotalAmount", "TotalLineAmountWithTax")
ORDER_TOTALS = ("TotalProductAmount", "TotalAmount", "TotalProductAmtWithTax", "GrandTotalAmount")
_WHAT = ("OrderItemId", "Product2Id", "AssetId")


class ReturnOrderRule(Rule):
    def prepare(self, dml: Dml, row: Row, given: Row) -> None:
        row["StatusCategory"] = dml.plan("ReturnOrder").category(row["Status"])
        row.update(dict.fromkeys(ORDER_TOTALS, 0.0))

    def update(self, dml: Dml, old: Row, new: Row, changed: set[str]) -> None:
        new["StatusCategory"] = dml.plan("ReturnOrder").category(new["Status"])

    def cascade(self, dml: Dml, row: Row) -> None:
        plan = dml.plan("ReturnOrderLineItem")
        for line in list(dml.select(plan.name, '"ReturnOrderId" = ? AND "IsDeleted" = 0', row["Id"])):
            dml.remove(plan, line)


class ReturnOrderLineItemRule(Rule):
    def insert(self, dml: Dml, row: Row, given: Row) -> None:
        if not any(row.get(name) for name in _WHAT):
            raise Refusal(
                "FIELD_INTEGRITY_EXCEPTION",
                "Specify an order product, a product, or an asset for the return order line item.",
                fields=list(_WHAT),
            )
        if row.get("OrderItemId") and not row.get("Product2Id"):
            item = dml.fetch("OrderItem", row["OrderItemId"]) or {}
            row["Product2Id"] = item.get("Product2Id")
        _complete(row)

    def update(self, dml: Dml, old: Row, new: Row, changed: set[str]) -> None:
        _complete(new)

    def saved(self, dml: Dml, row: Row, old: Row | None) -> None:
        _sum(dml, row)

    def removed(self, dml: Dml, row: Row) -> None:
        _sum(dml, row)


def _complete(row: Row) -> None:
    if exact(row["QuantityReturned"]) <= 0:
        raise broken("The quantity returned must be greater than zero.", "QuantityReturned")
    total = round_to(exact(row["QuantityReturned"]) * exact(row.get("UnitPrice")), 2)
    row.update(dict.fromkeys(LINE_TOTALS, float(total)))


def _sum(dml: Dml, line: Row) -> None:
    lines = dml.select("ReturnOrderLineItem", '"ReturnOrderId" = ? AND "IsDeleted" = 0', line["ReturnOrderId"])
    total = sum((exact(row["TotalAmount"]) for row in lines), Decimal(0))
    dml.set_fields("ReturnOrder", line["ReturnOrderId"], dict.fromkeys(ORDER_TOTALS, float(total)))
