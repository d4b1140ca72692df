"""Chapter H: reduction orders (H4), and the order settings (H5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.localorg.settings import OrgSettings
from tests.org.conftest import Caller


@pytest.fixture
async def reducing() -> AsyncIterator[Caller]:
    settings = OrgSettings(reduction_orders=True)
    async with LocalOrg(OrgOptions(settings=settings)) as org, aiohttp.ClientSession() as http:
        yield Caller(org, http)


async def original(caller: Caller, quantity: float = 5) -> tuple[str, str, dict[str, Any]]:
    """An activated order, its line, and the body of a reduction of it."""
    _, entry = await caller.priced_product()
    order = await caller.draft()
    line = await caller.create("OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=quantity, UnitPrice=10)
    assert (await caller.call("PATCH", f"sobjects/Order/{order}", {"Status": "Activated"}))[0] == 204
    [row] = await caller.query(f"SELECT AccountId FROM Order WHERE Id = '{order}'")
    return order, line, {"AccountId": row["AccountId"], "IsReductionOrder": True, "OriginalOrderId": order}


async def reduction(caller: Caller, line: str, head: dict[str, Any], **changes: Any) -> dict[str, Any]:
    [row] = await caller.query(f"SELECT PricebookEntryId, UnitPrice FROM OrderItem WHERE Id = '{line}'")
    order = await caller.draft(**head)
    return {"OrderId": order, "OriginalOrderItemId": line, "Quantity": -1, "UnitPrice": row["UnitPrice"],
            "PricebookEntryId": row["PricebookEntryId"], **changes}  # fmt: skip


async def available(caller: Caller, line: str) -> float:
    return float(
        (await caller.query(f"SELECT AvailableQuantity FROM OrderItem WHERE Id = '{line}'"))[0]["AvailableQuantity"]
    )


async def test_reduction_lowers_the_available_quantity(reducing: Caller) -> None:
    """H4: the original's total stays; the reduction's is negative and it is activated like any order."""
    order, line, head = await original(reducing)
    body = await reduction(reducing, line, head, Quantity=-2)
    item = await reducing.create("OrderItem", **body)
    assert (await available(reducing, line), await available(reducing, item)) == (3.0, 0.0)
    assert (await reducing.call("PATCH", f"sobjects/Order/{body['OrderId']}", {"Status": "Activated"}))[0] == 204
    rows = await reducing.query("SELECT Id, TotalAmount FROM Order ORDER BY TotalAmount")
    assert [(row["Id"], row["TotalAmount"]) for row in rows] == [(body["OrderId"], -20.0), (order, 50.0)]
    second = await reduction(reducing, line, head, Quantity=-3)
    await reducing.create("OrderItem", **second)
    assert await available(reducing, line) == 0.0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Quantity": 1}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Quantity": -6}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"UnitPrice": 9}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"OriginalOrderItemId": None}, "REQUIRED_FIELD_MISSING"),
    ],
)
async def test_invalid_reduction_quantity_or_price_is_rejected(
    reducing: Caller, changes: dict[str, Any], code: str
) -> None:
    """H4."""
    _, line, head = await original(reducing)
    body = await reduction(reducing, line, head, **changes)
    assert (await reducing.refusal("POST", "sobjects/OrderItem", body))[:2] == (400, code)


async def test_reduction_of_an_unsuitable_order_is_rejected(reducing: Caller) -> None:
    """H4: the original must be activated, of the same account, and no reduction."""
    order, line, head = await original(reducing)
    draft = await reducing.draft(AccountId=head["AccountId"])
    other = await reducing.create("Account", Name="Other")
    book = await reducing.standard_price_book()
    base = {"EffectiveDate": "2026-01-05", "Status": "Draft", "Pricebook2Id": book}
    body = await reduction(reducing, line, head)
    await reducing.create("OrderItem", **body)
    await reducing.call("PATCH", f"sobjects/Order/{body['OrderId']}", {"Status": "Activated"})
    for wrong in ({"OriginalOrderId": draft}, {"AccountId": other}, {"OriginalOrderId": body["OrderId"]},
                  {"IsReductionOrder": False}):  # fmt: skip
        refusal = await reducing.refusal("POST", "sobjects/Order", base | head | wrong)
        assert refusal[:2] == (400, "FIELD_INTEGRITY_EXCEPTION"), wrong
    assert (await reducing.call("POST", "sobjects/Order", base | head | {"OriginalOrderId": None}))[0] == 201
    assert order


async def test_reduced_line_cannot_be_changed(reducing: Caller) -> None:
    """H3, H4: until the reduction is deleted, price, quantity and activation are fixed."""
    order, line, head = await original(reducing)
    body = await reduction(reducing, line, head)
    item = await reducing.create("OrderItem", **body)
    refusal = await reducing.refusal("PATCH", f"sobjects/OrderItem/{line}", {"Quantity": 4})
    assert refusal[2] == "You can't update Quantity because the order product has been reduced."
    assert (await reducing.call("PATCH", f"sobjects/OrderItem/{line}", {"Description": "still"}))[0] == 204
    assert (await reducing.refusal("PATCH", f"sobjects/Order/{order}", {"Status": "Draft"}))[0] == 400
    assert (await reducing.call("DELETE", f"sobjects/OrderItem/{item}"))[0] == 204
    assert await available(reducing, line) == 5.0
    assert (await reducing.call("PATCH", f"sobjects/Order/{order}", {"Status": "Draft"}))[0] == 204


@pytest.fixture
async def plain() -> AsyncIterator[Caller]:
    settings = OrgSettings(reduction_orders=False)
    async with LocalOrg(OrgOptions(settings=settings)) as org, aiohttp.ClientSession() as http:
        yield Caller(org, http)


async def test_reduction_without_the_setting_is_rejected(plain: Caller) -> None:
    """H1, H4: the field exists without the setting."""
    caller = plain
    order, _ = await caller.active_order()
    [row] = await caller.query(f"SELECT AccountId, IsReductionOrder FROM Order WHERE Id = '{order}'")
    body = {"AccountId": row["AccountId"], "EffectiveDate": "2026-01-05", "Status": "Draft", "IsReductionOrder": True}
    assert row["IsReductionOrder"] is False
    assert (await caller.refusal("POST", "sobjects/Order", body))[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


@pytest.mark.parametrize(
    ("settings", "quantity", "status"),
    [({}, 0, 400), ({}, -1, 400), ({"zero_quantity": True}, 0, 201), ({"negative_quantity": True}, -1, 201)],
)
async def test_zero_and_negative_quantities_depend_on_settings(
    settings: dict[str, bool], quantity: float, status: int
) -> None:
    """H3, H5."""
    async with LocalOrg(OrgOptions(settings=OrgSettings(**settings))) as org, aiohttp.ClientSession() as http:
        caller = Caller(org, http)
        _, entry = await caller.priced_product()
        line = {"OrderId": await caller.draft(), "PricebookEntryId": entry, "Quantity": quantity, "UnitPrice": 1}
        assert (await caller.call("POST", "sobjects/OrderItem", line))[0] == status


@pytest.mark.parametrize("strict", [False, True])
async def test_price_change_after_activation_depends_on_the_setting(strict: bool) -> None:
    """H3: Enhanced Commerce Orders fixes the prices."""
    settings = OrgSettings(enhanced_commerce_orders=strict)
    async with LocalOrg(OrgOptions(settings=settings)) as org, aiohttp.ClientSession() as http:
        caller = Caller(org, http)
        _, line = await caller.active_order()
        assert (await caller.call("PATCH", f"sobjects/OrderItem/{line}", {"Description": "x"}))[0] == 204
        body = (await caller.call("PATCH", f"sobjects/OrderItem/{line}", {"UnitPrice": 11}))[0]
        assert body == (400 if strict else 204)
