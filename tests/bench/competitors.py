"""The same load by simple-salesforce, as a careful script would do it: `python -m tests.bench.competitors WAY FOLDER`.

Every way writes the same records with the same keys, totals and statuses. None of them can be repeated safely, keeps
what it wrote, or goes on when one row is refused: they are here for their speed and cost only.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import requests
from simple_salesforce import Salesforce

from tests.acceptance.export import Export
from tests.acceptance.readback import HOST, ToLoopback

CENT = Decimal("0.01")
MOST_ROWS = 200
THREADS = 8
POLL = 1  # seconds between two looks at a Bulk job; simple-salesforce takes five unless told otherwise
Record = dict[str, Any]


def connect() -> Salesforce:
    session = requests.Session()
    session.mount(HOST, ToLoopback(pool_maxsize=THREADS))
    return Salesforce(session_id=os.environ["ORG_TOKEN"], instance=HOST.removeprefix("https://"), session=session)


@dataclass
class Load:
    """The export as records, references by key."""

    accounts: list[Record]
    products: list[Record]
    prices: list[tuple[str, float]]
    orders: list[Record]
    lines: dict[str, list[Record]]  # by order
    shipped: list[str]


def load(export: Export) -> Load:
    lines: dict[str, list[Record]] = defaultdict(list)
    for row in export.rows("order_details"):
        price, quantity = Decimal(row["UnitPrice"]), Decimal(row["Quantity"])
        discounted = price * (1 - Decimal(row["Discount"]))
        listed = lines[row["OrderID"]]
        listed.append(
            {
                "External_Key__c": f"{row['OrderID']}-{len(listed) + 1}",
                "product": row["ProductID"],
                "Quantity": float(quantity),
                "UnitPrice": float(discounted.quantize(CENT, ROUND_HALF_UP)),
                "Exact_Total__c": float(discounted * quantity),
            }
        )
    totals = export.totals
    return Load(
        accounts=[
            {"External_Key__c": row["CustomerID"], "Name": row["CompanyName"], "BillingCity": row["City"]}
            for row in export.rows("customers")
        ],
        products=[
            {"External_Key__c": row["ProductID"], "Name": row["ProductName"], "IsActive": True}
            for row in export.rows("products")
        ],
        prices=[(row["ProductID"], float(row["UnitPrice"])) for row in export.rows("products")],
        orders=[
            {
                "External_Key__c": row["OrderID"],
                "customer": row["CustomerID"],
                "EffectiveDate": row["OrderDate"][:10],
                "Status": "Draft",
                "ShippingCity": row["ShipCity"],
                "Exact_Total__c": float(totals[row["OrderID"]]),
            }
            for row in export.rows("orders")
        ],
        lines=lines,
        shipped=[row["OrderID"] for row in export.rows("orders") if row["ShippedDate"]],
    )


def without(record: Record, *names: str) -> Record:
    return {name: value for name, value in record.items() if name not in names}


def price_book(org: Salesforce) -> str:
    return str(org.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")["records"][0]["Id"])


def one_call_a_record(org: Salesforce, work: Load, map_: Callable[..., Iterable[Any]] = map) -> None:
    """Upsert or create each record, then activate each order."""
    book = price_book(org)
    list(map_(lambda row: org.Account.upsert(f"External_Key__c/{row['External_Key__c']}", _body(row)), work.accounts))
    list(map_(lambda row: org.Product2.upsert(f"External_Key__c/{row['External_Key__c']}", _body(row)), work.products))

    def entry(item: tuple[str, float]) -> tuple[str, str]:
        body = {"Pricebook2Id": book, "Product2": {"External_Key__c": item[0]}, "UnitPrice": item[1], "IsActive": True}
        return item[0], org.PricebookEntry.create(body)["id"]

    entries = dict(map_(entry, work.prices))
    shipped = set(work.shipped)

    def place(row: Record) -> None:
        made = org.Order.create(
            {**without(row, "customer"), "Account": {"External_Key__c": row["customer"]}, "Pricebook2Id": book}
        )
        for line in work.lines[row["External_Key__c"]]:
            body = {**without(line, "product"), "OrderId": made["id"], "PricebookEntryId": entries[line["product"]]}
            org.OrderItem.create(body)
        if row["External_Key__c"] in shipped:
            org.Order.update(made["id"], {"Status": "Activated"})

    list(map_(place, work.orders))


def _body(record: Record) -> Record:
    return without(record, "External_Key__c")


def eight_threads(org: Salesforce, work: Load) -> None:
    """The same, eight at a time."""
    with ThreadPoolExecutor(THREADS) as pool:
        one_call_a_record(org, work, pool.map)


def collections(org: Salesforce, work: Load) -> None:
    """Two hundred rows a call, each object after the one it refers to."""

    def create(sobject: str, rows: Sequence[Record], method: str = "POST") -> list[str]:
        made = []
        for start in range(0, len(rows), MOST_ROWS):
            records = [{"attributes": {"type": sobject}, **row} for row in rows[start : start + MOST_ROWS]]
            outcomes = org.restful("composite/sobjects", method=method, json={"allOrNone": True, "records": records})
            made += [outcome["id"] for outcome in outcomes]
        return made

    book = price_book(org)
    accounts = dict(zip([a["External_Key__c"] for a in work.accounts], create("Account", work.accounts), strict=True))
    products = dict(zip([p["External_Key__c"] for p in work.products], create("Product2", work.products), strict=True))
    rows = [
        {"Pricebook2Id": book, "Product2Id": products[sku], "UnitPrice": price, "IsActive": True}
        for sku, price in work.prices
    ]
    entries = dict(zip([sku for sku, _ in work.prices], create("PricebookEntry", rows), strict=True))
    heads = [
        {**without(row, "customer"), "AccountId": accounts[row["customer"]], "Pricebook2Id": book}
        for row in work.orders
    ]
    orders = dict(zip([row["External_Key__c"] for row in work.orders], create("Order", heads), strict=True))
    create(
        "OrderItem",
        [
            {**without(line, "product"), "OrderId": orders[number], "PricebookEntryId": entries[line["product"]]}
            for number, lines in work.lines.items()
            for line in lines
        ],
    )
    create("Order", [{"id": orders[number], "Status": "Activated"} for number in work.shipped], "PATCH")


def bulk2(org: Salesforce, work: Load) -> None:
    """A Bulk API 2.0 job an object, references by external ID."""

    def job(sobject: str, operation: str, rows: list[Record], **options: str) -> None:
        for outcome in getattr(getattr(org.bulk2, sobject), operation)(records=rows, wait=POLL, **options):
            if outcome["numberRecordsFailed"]:
                raise SystemExit(f"{sobject}: {outcome}")

    book = price_book(org)
    job("Account", "insert", work.accounts)
    job("Product2", "insert", [{**row, "IsActive": "true"} for row in work.products])
    job(
        "PricebookEntry",
        "insert",
        [
            {"Pricebook2Id": book, "Product2.External_Key__c": sku, "UnitPrice": price, "IsActive": "true"}
            for sku, price in work.prices
        ],
    )
    found = org.query_all("SELECT Id, Product2.External_Key__c FROM PricebookEntry")["records"]
    entries = {row["Product2"]["External_Key__c"]: row["Id"] for row in found}
    heads = [
        {**without(row, "customer"), "Account.External_Key__c": row["customer"], "Pricebook2Id": book}
        for row in work.orders
    ]
    job("Order", "insert", heads)
    rows = [
        {**without(line, "product"), "Order.External_Key__c": number, "PricebookEntryId": entries[line["product"]]}
        for number, lines in work.lines.items()
        for line in lines
    ]
    job("OrderItem", "insert", rows)
    activated = [{"External_Key__c": number, "Status": "Activated"} for number in work.shipped]
    job("Order", "upsert", activated, external_id_field="External_Key__c")


WAYS: dict[str, Callable[[Salesforce, Load], None]] = {
    "one-call-a-record": one_call_a_record,
    "eight-threads": eight_threads,
    "collections": collections,
    "bulk2": bulk2,
}


if __name__ == "__main__":
    WAYS[sys.argv[1]](connect(), load(Export(folder=Path(sys.argv[2]))))
