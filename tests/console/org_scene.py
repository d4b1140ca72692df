"""A local org with a few orders, one of them with texts in bad shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from tests.org.conftest import Caller

SCRIPT = "<script>alert(1)</script>"
LONG_TEXT = "Außerordentlichlanger" * 4 + " مرحبا بالعالم שלום 🍪 " + "Wort " * 20
"""Without blanks, from right to left, with many words."""


@dataclass
class Shop:
    """An org with a few orders."""

    org: LocalOrg
    account: str
    orders: tuple[str, ...]
    product: str

    @property
    def order(self) -> str:
        """The order on hold."""
        return self.orders[2]

    @property
    def places(self) -> list[str]:
        return [
            "/", "/orders", *(f"/orders/{order}" for order in self.orders), "/accounts", f"/accounts/{self.account}",
            "/products", f"/record/{self.product}", "/search?q=N-1", "/usage", "/calls", "/nowhere",
        ]  # fmt: skip


@asynccontextmanager
async def running_shop(next_text: Callable[[], str] | None = None) -> AsyncIterator[Shop]:
    """With `next_text`, there is another order that has these in its texts, and is of an account of such a name."""
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as org, aiohttp.ClientSession() as http:
        caller = Caller(org, http)
        account = await caller.create("Account", Name=SCRIPT)
        product, entry = await caller.priced_product(name="Chai, ten boxes of twenty bags with a name that goes on")
        await caller.call("PATCH", f"sobjects/Product2/{product}", {"StockKeepingUnit": "TEA-EB-100"})
        orders = []
        for number, stage in enumerate(("placed", "canceled", "shipped"), start=1):
            order = await caller.draft(
                AccountId=account, External_Key__c=f"N-{number}", Lifecycle_Stage__c=stage, Payment_Status__c="paid",
                Hold_Reason__c="Address to be checked" if stage == "shipped" else None,
                Carrier__c="DHL", Tracking_Number__c="JD014600003828392837", Placed_At__c="2026-01-05T10:20:30Z",
            )  # fmt: skip
            orders.append(order)
            await caller.create(
                "OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=12, UnitPrice=10,
                List_Unit_Price__c=12.3457 if stage == "canceled" else 10, Discount_Percent__c=number - 1,
                Shipped_Quantity__c=8, Delivered_Quantity__c=6, Returned_Quantity__c=2, Canceled_Quantity__c=1,
                Backordered_Quantity__c=3, Exact_Total__c=1234.5678,
            )  # fmt: skip
        if next_text is not None:
            orders.append(await _put_texts(caller, next_text))
        await caller.call("GET", "sobjects/Nothing/describe")
        yield Shop(org, account, tuple(orders), product)


async def _put_texts(caller: Caller, text: Callable[[], str]) -> str:
    account = await caller.create(
        "Account", Name=text()[:255], BillingCity=text()[:40], Phone=text()[:40], Description=text()
    )
    product, entry = await caller.priced_product(name=text()[:255])
    await caller.call("PATCH", f"sobjects/Product2/{product}", {"StockKeepingUnit": text()[:100]})
    order = await caller.draft(
        AccountId=account, External_Key__c=f"N-4 {text()}"[:40], Lifecycle_Stage__c="fulfilling",
        Description=text() * 3,
        Hold_Reason__c=text()[:100], Carrier__c=text()[:60], Tracking_Number__c=text()[:60],
        ShippingStreet=text()[:200], ShippingCity=text()[:40], PoNumber=text()[:80], Delivery_Note__c=text()[:200],
    )  # fmt: skip
    for number in range(1, 31):
        values = {"Quantity": number, "UnitPrice": 1_234_567.89, "Line_Number__c": number}
        await caller.create("OrderItem", OrderId=order, PricebookEntryId=entry, Description=text()[:200], **values)
    return order
