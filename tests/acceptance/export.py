"""A Northwind-shaped export in a folder: somebody's real one, or one of the same shape made up here."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

Rows = list[dict[str, str]]
UNSHIPPED = 40  # one order in so many has not been shipped


@dataclass(frozen=True, kw_only=True)
class Export:
    """The folder and what the org must hold once it is in."""

    folder: Path

    def rows(self, table: str) -> Rows:
        with (self.folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @property
    def counts(self) -> dict[str, int]:
        return {
            "Account": len(self.rows("customers")),
            "Product2": len(self.rows("products")),
            "Order": len(self.rows("orders")),
            "OrderItem": len(self.rows("order_details")),
        }

    @property
    def statuses(self) -> dict[str, int]:
        shipped = sum(1 for row in self.rows("orders") if row["ShippedDate"])
        return {"Activated": shipped, "Draft": len(self.rows("orders")) - shipped}

    @property
    def totals(self) -> dict[str, Decimal]:
        """The exact total of every order without freight: quantity x price x (1 - discount), not rounded."""
        totals: dict[str, Decimal] = {row["OrderID"]: Decimal(0) for row in self.rows("orders")}
        for row in self.rows("order_details"):
            exact = Decimal(row["UnitPrice"]) * Decimal(row["Quantity"]) * (1 - Decimal(row["Discount"]))
            totals[row["OrderID"]] += exact
        return totals

    def altered(self, folder: Path, **changes: Callable[[Rows], None]) -> Export:
        """A copy with some tables changed in place by a function each."""
        folder.mkdir(parents=True)
        for path in self.folder.glob("*.csv"):
            rows = self.rows(path.stem)
            changes.get(path.stem, _nothing)(rows)
            write(folder, path.stem, rows)
        return Export(folder=folder)


def _nothing(rows: Rows) -> None: ...


def write(folder: Path, table: str, rows: Iterable[dict[str, str]]) -> None:
    listed = list(rows)
    with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)


def made_up(folder: Path, *, customers: int = 93, products: int = 77, orders: int = 830) -> Export:
    """The same export every time: accents, empty fields, discounts, unshipped orders."""
    chance = random.Random(830)
    folder.mkdir(parents=True)
    write(folder, "shippers", [{"ShipperID": str(n), "CompanyName": f"Carrier {n}", "Phone": ""} for n in (1, 2, 3)])
    people = [_customer(number) for number in range(1, customers + 1)]
    goods = [_product(number, chance) for number in range(1, products + 1)]
    write(folder, "customers", people)
    write(folder, "products", goods)
    details: Rows = []
    heads = []
    for number in range(10001, 10001 + orders):
        heads.append(_order(number, chance.choice(people), chance))
        for product in chance.sample(goods, k=chance.randint(1, min(4, products))):
            details.append(
                {
                    "OrderID": str(number),
                    "ProductID": product["ProductID"],
                    "UnitPrice": product["UnitPrice"],
                    "Quantity": str(chance.randint(1, 60)),
                    "Discount": chance.choice(["0.0", "0.0", "0.05", "0.15", "0.25"]),
                }
            )
    write(folder, "orders", heads)
    write(folder, "order_details", details)
    return Export(folder=folder)


def _customer(number: int) -> dict[str, str]:
    return {
        "CustomerID": f"K{number:04d}",
        "CompanyName": f"Société Müller & Frères {number}",
        "Address": f"Straße {number}",
        "City": "México D.F." if number % 2 else "Århus",
        "Region": "" if number % 3 else "SP",
        "PostalCode": f"{10000 + number}",
        "Country": "Mexico" if number % 2 else "Denmark",
        "Phone": "" if number % 5 else f"({number}) 555-01{number % 100:02d}",
    }


def _product(number: int, chance: random.Random) -> dict[str, str]:
    return {
        "ProductID": str(number),
        "ProductName": f"Crème {number}",
        "QuantityPerUnit": f"{number} - 12 oz bottles",
        "UnitPrice": str(Decimal(chance.randint(250, 26350)) / 100),
    }


def _order(number: int, customer: dict[str, str], chance: random.Random) -> dict[str, str]:
    placed = datetime(1996, 7, 4) + timedelta(days=chance.randint(0, 600))  # noqa: DTZ001 - the export names no zone
    shipped = "" if number % UNSHIPPED == 0 else _moment(placed + timedelta(days=chance.randint(1, 20)))
    return {
        "OrderID": str(number),
        "CustomerID": customer["CustomerID"],
        "OrderDate": _moment(placed),
        "RequiredDate": _moment(placed + timedelta(days=28)),
        "ShippedDate": shipped,
        "ShipVia": str(chance.randint(1, 3)),
        "Freight": str(Decimal(chance.randint(0, 20000)) / 100),
        "ShipName": customer["CompanyName"],
        "ShipAddress": customer["Address"],
        "ShipCity": customer["City"],
        "ShipRegion": customer["Region"],
        "ShipPostalCode": customer["PostalCode"],
        "ShipCountry": customer["Country"],
    }


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d 00:00:00.000")
