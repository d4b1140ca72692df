"""Order products: priced by an entry of the order's price book, checked, and locked when the order is activated."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal
from connector.localorg.field_values import round_to, to_decimal
from connector.localorg.rules.orders import is_draft
from connector.localorg.rules.rule import Rule, integrity_error, require_permission

if TYPE_CHECKING:
    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row

_PRICE_FIELDS = {"Quantity", "UnitPrice"}
_SAME_AS_ORIGINAL = ("AccountId", "ContractId")


class OrderItemRule(Rule):
    hard_delete = True

    def insert(self, store: RecordStore, row: Row, given: Row) -> None:
        order = store.fetch("Order", row["OrderId"])
        assert order is not None
        if not is_draft(order):
            raise _activated_order_locked()
        if order.get("Pricebook2Id") is None:
            raise integrity_error("The order is missing a price book")
        entry = self._price_book_entry(store, order, row)
        if row.get("UnitPrice") is None:
            raise Refusal("REQUIRED_FIELD_MISSING", "Order Products must have a Unit Price.", fields=[])
        if row.get("Product2Id") not in {None, entry["Product2Id"]}:
            raise integrity_error("The product is not the one of the price book entry.", "Product2Id")
        row["Product2Id"] = entry["Product2Id"]
        row["ListPrice"] = entry["UnitPrice"]
        if "CurrencyIsoCode" in row:
            if given.get("CurrencyIsoCode") not in {None, entry["CurrencyIsoCode"]}:
                raise integrity_error("The currency is not the one of the price book entry.", "CurrencyIsoCode")
            row["CurrencyIsoCode"] = entry["CurrencyIsoCode"]
        _check_dates(order, row)
        _check_quantity(store, order, row)
        if order.get("IsReductionOrder"):
            self._check_reduction(store, order, row)
            row["AvailableQuantity"] = 0.0
        else:
            if row.get("OriginalOrderItemId"):
                raise integrity_error("Only a reduction order's products refer to an original.", "OriginalOrderItemId")
            row["AvailableQuantity"] = row["Quantity"]
        _set_total(row)

    def _price_book_entry(self, store: RecordStore, order: Row, row: Row) -> Row:
        entry = store.fetch("PricebookEntry", row["PricebookEntryId"])
        assert entry is not None
        if entry["Pricebook2Id"] != order["Pricebook2Id"]:
            raise integrity_error(
                "The pricebook entry is in a different pricebook than the one assigned to the order.",
                "PricebookEntryId",
            )
        if "CurrencyIsoCode" in order and entry["CurrencyIsoCode"] != order["CurrencyIsoCode"]:
            raise integrity_error("The pricebook entry's currency is not the order's.", "PricebookEntryId")
        if not entry["IsActive"]:
            raise integrity_error(
                f"field integrity exception: PricebookEntryId, {entry['Id']} (pricebook entry is inactive)",
                "PricebookEntryId",
            )
        if not store.scalar('SELECT "IsActive" FROM "Pricebook2" WHERE "Id" = ?', entry["Pricebook2Id"]):
            raise integrity_error("The pricebook of the pricebook entry is inactive.", "PricebookEntryId")
        return entry

    def _check_reduction(self, store: RecordStore, order: Row, row: Row) -> None:
        original = store.fetch("OrderItem", row.get("OriginalOrderItemId"))
        if original is None:
            raise Refusal(
                "REQUIRED_FIELD_MISSING",
                "Required fields are missing: [OriginalOrderItemId]",
                fields=["OriginalOrderItemId"],
            )
        source = store.fetch("Order", original["OrderId"])
        assert source is not None
        if order.get("OriginalOrderId") not in {None, source["Id"]}:
            raise integrity_error("The original order product belongs to another order.", "OriginalOrderItemId")
        if (
            is_draft(source)
            or source.get("IsReductionOrder")
            or any(source[name] != order[name] for name in _SAME_AS_ORIGINAL)
        ):
            raise integrity_error(
                "Only products of an activated order of the same account and contract can be reduced.", "OrderId"
            )
        _check_dates({"EffectiveDate": original.get("ServiceDate"), "EndDate": original.get("EndDate")}, row)
        if original["PricebookEntryId"] != row["PricebookEntryId"] or original["UnitPrice"] != row["UnitPrice"]:
            raise integrity_error(
                "A reduction must have the price book entry and unit price of the original.", "UnitPrice"
            )
        available = to_decimal(original["AvailableQuantity"])
        if -to_decimal(row["Quantity"]) > available:
            raise integrity_error(
                f"The reduced quantity is more than the available quantity ({available}).", "Quantity"
            )

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        order = store.fetch("Order", old["OrderId"])
        assert order is not None
        if changed and not is_draft(order):
            require_permission(store, "EditActivatedOrders")
        if changed & _PRICE_FIELDS:
            if not is_draft(order) and store.settings.enhanced_commerce_orders:
                raise integrity_error("unable to modify activated order", *sorted(changed & _PRICE_FIELDS))
            self._check_price_change(store, order, old, new, changed)
            _set_total(new)
        if changed & {"ServiceDate", "EndDate"}:
            _check_dates(order, new)

    def _check_price_change(self, store: RecordStore, order: Row, old: Row, new: Row, changed: set[str]) -> None:
        if _is_reduced(store, old):
            name = sorted(changed & _PRICE_FIELDS)[0]
            raise integrity_error(f"You can't update {name} because the order product has been reduced.", name)
        if new.get("UnitPrice") is None:
            raise Refusal("REQUIRED_FIELD_MISSING", "Order Products must have a Unit Price.", fields=[])
        _check_quantity(store, order, new)
        if order.get("IsReductionOrder"):
            original = store.fetch("OrderItem", old["OriginalOrderItemId"])
            if original is not None:
                if original["UnitPrice"] != new["UnitPrice"]:
                    raise integrity_error("A reduction must have the unit price of the original.", "UnitPrice")
                if -to_decimal(new["Quantity"]) > to_decimal(original["AvailableQuantity"]) - to_decimal(
                    old["Quantity"]
                ):
                    raise integrity_error("The reduced quantity is more than the available quantity.", "Quantity")
        else:
            new["AvailableQuantity"] = new["Quantity"]

    def delete(self, store: RecordStore, row: Row) -> None:
        order = store.fetch("Order", row["OrderId"])
        if order is not None and not is_draft(order):
            raise _activated_order_locked()
        if _is_reduced(store, row):
            raise integrity_error("You can't delete an order product that has been reduced.")

    def saved(self, store: RecordStore, row: Row, old: Row | None) -> None:
        if old is None or old["TotalPrice"] != row["TotalPrice"]:
            store.orders_to_total.add(str(row["OrderId"]))
        _restore_available(store, row)

    def removed(self, store: RecordStore, row: Row) -> None:
        store.orders_to_total.add(str(row["OrderId"]))
        _restore_available(store, row)


def _activated_order_locked() -> Refusal:
    return Refusal(
        "ENTITY_IS_LOCKED",
        "The order is activated: you cannot delete Order, or add or remove Order Products.",
        fields=[],
    )


def _check_dates(order: Row, line: Row) -> None:
    start, end = line.get("ServiceDate"), line.get("EndDate")
    order_start, order_end = order.get("EffectiveDate"), order.get("EndDate")
    if isinstance(start, str) and isinstance(order_start, str) and start < order_start:
        raise integrity_error("The order product's start date can't be before the order's start date.", "ServiceDate")
    if isinstance(end, str):
        if isinstance(order_end, str) and end > order_end:
            raise integrity_error("The order product's end date can't be after the order's end date.", "EndDate")
        if isinstance(start, str) and end < start:
            raise integrity_error("The order product's end date can't be before its start date.", "EndDate")


def _check_quantity(store: RecordStore, order: Row, line: Row) -> None:
    quantity = to_decimal(line["Quantity"])
    if quantity == 0 and not store.settings.zero_quantity:
        raise integrity_error("Can't save order products with quantities of zero", "Quantity")
    if order.get("IsReductionOrder"):
        if quantity > 0:
            raise integrity_error("The quantity of a reduction order's product must be negative.", "Quantity")
    elif quantity < 0 and not store.settings.negative_quantity:
        raise integrity_error("Can't save order products with negative quantities", "Quantity")


def _set_total(line: Row) -> None:
    line["TotalPrice"] = float(round_to(to_decimal(line["UnitPrice"]) * to_decimal(line["Quantity"]), 2))


def _is_reduced(store: RecordStore, line: Row) -> bool:
    return bool(store.scalar('SELECT 1 FROM "OrderItem" WHERE "OriginalOrderItemId" = ?', line["Id"]))


def _restore_available(store: RecordStore, line: Row) -> None:
    """Update the quantity of the original that can still be reduced: its own less all reductions."""
    original = store.fetch("OrderItem", line.get("OriginalOrderItemId"))
    if original is None:
        return
    reductions = store.storage.connection.execute(
        'SELECT "Quantity" FROM "OrderItem" WHERE "OriginalOrderItemId" = ?', (original["Id"],)
    )
    available = to_decimal(original["Quantity"]) + sum((to_decimal(quantity) for (quantity,) in reductions), Decimal(0))
    store.platform_update("OrderItem", original["Id"], {"AvailableQuantity": float(available)})
    store.rows_written -= 1
