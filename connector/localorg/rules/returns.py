"""Return orders: the category of their status, checks of their lines, and totals."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal
from connector.localorg.field_values import round_to, to_decimal
from connector.localorg.rules.rule import Rule, integrity_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row, WritePlan

LINE_TOTALS = ("TotalLineAmount", "TotalPrice", "TotalAmount", "TotalLineAmountWithTax")
ORDER_TOTALS = ("TotalProductAmount", "TotalAmount", "TotalProductAmtWithTax", "GrandTotalAmount")
_RETURNED_ITEM_FIELDS = ("OrderItemId", "Product2Id", "AssetId")


class ReturnOrderRule(Rule):
    def prepare(self, store: RecordStore, row: Row, given: Row) -> None:
        row["StatusCategory"] = store.plan("ReturnOrder").status_category(row["Status"])
        row.update(dict.fromkeys(ORDER_TOTALS, 0.0))

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        new["StatusCategory"] = store.plan("ReturnOrder").status_category(new["Status"])

    def dependents(self, store: RecordStore, row: Row) -> Iterator[tuple[WritePlan, Row]]:
        plan = store.plan("ReturnOrderLineItem")
        for line in list(store.select(plan.name, '"ReturnOrderId" = ? AND "IsDeleted" = 0', row["Id"])):
            yield plan, line


class ReturnOrderLineItemRule(Rule):
    def insert(self, store: RecordStore, row: Row, given: Row) -> None:
        if not any(row.get(name) for name in _RETURNED_ITEM_FIELDS):
            raise Refusal(
                "FIELD_INTEGRITY_EXCEPTION",
                "Specify an order product, a product, or an asset for the return order line item.",
                fields=list(_RETURNED_ITEM_FIELDS),
            )
        if row.get("OrderItemId") and not row.get("Product2Id"):
            item = store.fetch("OrderItem", row["OrderItemId"]) or {}
            row["Product2Id"] = item.get("Product2Id")
        _set_line_totals(row)

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        _set_line_totals(new)

    def saved(self, store: RecordStore, row: Row, old: Row | None) -> None:
        _update_order_totals(store, row)

    def removed(self, store: RecordStore, row: Row) -> None:
        _update_order_totals(store, row)


def _set_line_totals(row: Row) -> None:
    if to_decimal(row["QuantityReturned"]) <= 0:
        raise integrity_error("The quantity returned must be greater than zero.", "QuantityReturned")
    total = round_to(to_decimal(row["QuantityReturned"]) * to_decimal(row.get("UnitPrice")), 2)
    row.update(dict.fromkeys(LINE_TOTALS, float(total)))


def _update_order_totals(store: RecordStore, line: Row) -> None:
    lines = store.select("ReturnOrderLineItem", '"ReturnOrderId" = ? AND "IsDeleted" = 0', line["ReturnOrderId"])
    total = sum((to_decimal(row["TotalAmount"]) for row in lines), Decimal(0))
    store.platform_update("ReturnOrder", line["ReturnOrderId"], dict.fromkeys(ORDER_TOTALS, float(total)))
