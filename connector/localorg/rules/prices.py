"""Products and prices: a standard price before a custom one; one price per product, price book and currency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal
from connector.localorg.field_values import StoredValue
from connector.localorg.rules.rule import Rule, delete_blocked, integrity_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row, WritePlan


def _standard_price(store: RecordStore, row: Row) -> Row | None:
    where = (
        '"Product2Id" = ? AND "IsDeleted" = 0 AND "Pricebook2Id" IN (SELECT "Id" FROM "Pricebook2" WHERE "IsStandard")'
    )
    values: list[StoredValue] = [row["Product2Id"]]
    if "CurrencyIsoCode" in row:
        where += ' AND "CurrencyIsoCode" = ?'
        values.append(row["CurrencyIsoCode"])
    return next(store.select("PricebookEntry", where, *values), None)


class PricebookEntryRule(Rule):
    def prepare(self, store: RecordStore, row: Row, given: Row) -> None:
        if row.get("UseStandardPrice") and row.get("UnitPrice") is None and row.get("Product2Id"):
            standard = _standard_price(store, row)
            row["UnitPrice"] = standard["UnitPrice"] if standard else None

    def insert(self, store: RecordStore, row: Row, given: Row) -> None:
        book = store.fetch("Pricebook2", row["Pricebook2Id"])
        product = store.fetch("Product2", row["Product2Id"])
        assert book is not None
        assert product is not None
        _check_price(row)
        where = '"Pricebook2Id" = ? AND "Product2Id" = ? AND "IsDeleted" = 0'
        values: list[StoredValue] = [book["Id"], product["Id"]]
        if "CurrencyIsoCode" in row:
            where += ' AND "CurrencyIsoCode" = ?'
            values.append(row["CurrencyIsoCode"])
        if store.scalar(f'SELECT 1 FROM "PricebookEntry" WHERE {where}', *values):  # noqa: S608
            raise Refusal("DUPLICATE_VALUE", "This price definition already exists in this price book", fields=[])
        if not book["IsStandard"]:
            standard = _standard_price(store, row)
            if standard is None:
                raise Refusal(
                    "STANDARD_PRICE_NOT_DEFINED",
                    "Before creating a custom price, create a standard price.",
                    fields=[],
                )
            _check_standard_price(row, standard)
        elif row.get("UseStandardPrice"):
            raise integrity_error("A standard price can't use the standard price.", "UseStandardPrice")
        row["Name"] = product["Name"]
        row["ProductCode"] = product["ProductCode"]

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        if changed & {"UnitPrice", "UseStandardPrice"}:
            _check_price(new)
            if new.get("UseStandardPrice"):
                standard = _standard_price(store, new)
                if standard is not None and "UnitPrice" not in changed:
                    new["UnitPrice"] = standard["UnitPrice"]
                _check_standard_price(new, standard)

    def delete(self, store: RecordStore, row: Row) -> None:
        if store.scalar('SELECT 1 FROM "OrderItem" WHERE "PricebookEntryId" = ?', row["Id"]):
            raise delete_blocked(row["Name"], "order products")

    def saved(self, store: RecordStore, row: Row, old: Row | None) -> None:
        if old is None or old["UnitPrice"] == row["UnitPrice"]:
            return
        if store.scalar('SELECT "IsStandard" FROM "Pricebook2" WHERE "Id" = ?', row["Pricebook2Id"]):
            followers = store.select(
                "PricebookEntry", '"Product2Id" = ? AND "UseStandardPrice" = 1 AND "IsDeleted" = 0', row["Product2Id"]
            )
            for entry in followers:
                if entry.get("CurrencyIsoCode") == row.get("CurrencyIsoCode"):
                    store.platform_update("PricebookEntry", entry["Id"], {"UnitPrice": row["UnitPrice"]}, touch=True)


def _check_price(row: Row) -> None:
    price = row.get("UnitPrice")
    if isinstance(price, int | float) and price < 0:
        raise Refusal(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"List Price: value outside of valid range on numeric field: {price}",
            fields=["UnitPrice"],
        )


def _check_standard_price(row: Row, standard: Row | None) -> None:
    if row.get("UseStandardPrice") and (standard is None or standard["UnitPrice"] != row["UnitPrice"]):
        raise integrity_error(
            "The list price must equal the standard price when Use Standard Price is set.", "UnitPrice"
        )


class ProductRule(Rule):
    def delete(self, store: RecordStore, row: Row) -> None:
        if store.scalar('SELECT 1 FROM "OrderItem" WHERE "Product2Id" = ?', row["Id"]):
            raise delete_blocked(row["Name"], "order products")

    def dependents(self, store: RecordStore, row: Row) -> Iterator[tuple[WritePlan, Row]]:
        for entry in store.select("PricebookEntry", '"Product2Id" = ? AND "IsDeleted" = 0', row["Id"]):
            yield store.plan("PricebookEntry"), entry

    def saved(self, store: RecordStore, row: Row, old: Row | None) -> None:
        if old is None or (old["Name"] == row["Name"] and old["ProductCode"] == row["ProductCode"]):
            return
        copies = {"Name": row["Name"], "ProductCode": row["ProductCode"]}
        for entry in store.select("PricebookEntry", '"Product2Id" = ? AND "IsDeleted" = 0', row["Id"]):
            store.platform_update("PricebookEntry", entry["Id"], copies)


class PricebookRule(Rule):
    def delete(self, store: RecordStore, row: Row) -> None:
        if row["IsStandard"]:
            raise Refusal("DELETE_FAILED", "The standard price book can't be deleted.", fields=[])
        number = store.scalar(
            'SELECT "OrderNumber" FROM "Order" WHERE "Pricebook2Id" = ? AND "IsDeleted" = 0', row["Id"]
        )
        if number is not None:
            raise delete_blocked(row["Name"], "orders", number)

    def dependents(self, store: RecordStore, row: Row) -> Iterator[tuple[WritePlan, Row]]:
        for entry in store.select("PricebookEntry", '"Pricebook2Id" = ? AND "IsDeleted" = 0', row["Id"]):
            yield store.plan("PricebookEntry"), entry
