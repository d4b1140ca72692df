"""What a rep does in the org with an order of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.flow.conftest import World

Lines = Sequence[tuple[str, Any, Any]]
"""SKU, quantity, unit price."""
TWO_LINES: Lines = (("P-1", 2, "12.60"), ("P-2", 3, "9.80"))


async def record_of(world: World, sobject: str, key: str) -> str:
    [row] = await world.query(f"SELECT Id FROM {sobject} WHERE External_Key__c = '{key}'")
    return str(row["Id"])


async def create(world: World, sobject: str, **fields: Any) -> str:
    [outcome] = await world.service.client.collections_create(sobject, [fields])
    assert outcome.success, outcome.errors
    return str(outcome.id)


async def update(world: World, sobject: str, record: str, **fields: Any) -> None:
    [outcome] = await world.service.client.collections_update([(sobject, record, fields)])
    assert outcome.success, outcome.errors


async def entry_of(world: World, sku: str) -> str:
    query = "SELECT Id FROM PricebookEntry WHERE Pricebook2.IsStandard = true AND Product2.ProductCode"
    [row] = await world.query(f"{query} = '{sku}'")
    return str(row["Id"])


async def add_line(world: World, order: str, sku: str, quantity: Any, price: Any, **fields: Any) -> str:
    entry = fields.pop("entry", None) or await entry_of(world, sku)
    return await create(
        world, "OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=quantity, UnitPrice=price, **fields
    )


async def order_by_rep(
    world: World, account: str = "C-1", lines: Lines = TWO_LINES, *, activated: bool = True, **fields: Any
) -> str:
    """An order that a rep creates for an account of ours; its ID."""
    [book] = await world.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
    given = {"EffectiveDate": "2026-03-04", "Status": "Draft", "Pricebook2Id": book["Id"]} | fields
    given.setdefault("AccountId", "")
    given["AccountId"] = given["AccountId"] or await record_of(world, "Account", account)
    order = await create(world, "Order", **given)
    for sku, quantity, price in lines:
        await add_line(world, order, sku, quantity, price)
    if activated:
        await update(world, "Order", order, Status="Activated")
    return order


async def org_order(world: World, record: str) -> dict[str, Any]:
    [row] = await world.query(
        "SELECT Id, OrderNumber, External_Key__c, Status, Channel__c, Lifecycle_Stage__c, TotalAmount, Exact_Total__c,"
        f" ShippingCity, Description FROM Order WHERE Id = '{record}'"
    )
    row["lines"] = await world.query(
        "SELECT Id, External_Key__c, Line_Number__c, Quantity, UnitPrice, Discount_Percent__c, PricebookEntryId"
        f" FROM OrderItem WHERE OrderId = '{record}' ORDER BY Line_Number__c"
    )
    return row
