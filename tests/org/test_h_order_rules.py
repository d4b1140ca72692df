"""Chapter H: fields of orders (H1), lines (H2) and prices (H6), their life (H3), external IDs (H9), IDs (H10) and
stamps (H11), beyond the main cases in test_h_orders.
"""

from __future__ import annotations

from typing import Any

import pytest

from connector.localorg import ids
from tests.org.conftest import SHARED, Caller

pytestmark = SHARED


async def row(caller: Caller, sobject: str, record_id: str, *fields: str) -> dict[str, Any]:
    status, body = await caller.call("GET", f"sobjects/{sobject}/{record_id}?fields={','.join(fields)}")
    assert status == 200, body
    return dict(body)


async def line_body(caller: Caller, order: str, **more: Any) -> dict[str, Any]:
    _, entry = await caller.priced_product("H")
    return {"OrderId": order, "PricebookEntryId": entry, "Quantity": 2, "UnitPrice": 3, **more}


# -- H1 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        "Id",
        "TotalAmount",
        "OrderNumber",
        "ActivatedById",
        "CreatedDate",
        "SystemModstamp",
        "BillingAddress",
        "IsDeleted",
    ],
)
async def test_derived_fields_of_an_order_are_read_only(shared: Caller, field: str) -> None:
    """H1."""
    order = await shared.draft()
    assert (await shared.refusal("PATCH", f"sobjects/Order/{order}", {field: None}))[
        1
    ] == "INVALID_FIELD_FOR_INSERT_UPDATE"


@pytest.mark.parametrize(
    ("without", "code"),
    [
        ("EffectiveDate", "REQUIRED_FIELD_MISSING"),
        ("Status", "REQUIRED_FIELD_MISSING"),
        ("AccountId", "REQUIRED_FIELD_MISSING"),
    ],
)
async def test_order_without_required_fields_is_rejected(shared: Caller, without: str, code: str) -> None:
    """H1: the status has no default."""
    body = {"AccountId": await shared.create("Account", Name="H1"), "EffectiveDate": "2026-01-05", "Status": "Draft"}
    assert (await shared.refusal("POST", "sobjects/Order", {**body, without: None}))[:2] == (400, code)


async def test_new_order_gets_its_defaults(shared: Caller) -> None:
    """H1: owner, number and a total of 0; no price book."""
    account = await shared.create("Account", Name="H1", BillingCity="Bonn")
    order = await shared.create("Order", AccountId=account, EffectiveDate="2026-01-05", Status="Draft")
    result = await row(shared, "Order", order, "OwnerId", "OrderNumber", "TotalAmount", "Pricebook2Id", "StatusCode",
                     "BillingCity", "ActivatedDate", "IsReductionOrder")  # fmt: skip
    assert result["OwnerId"] == shared.org.org.auth.identity.user_id
    assert (len(result["OrderNumber"]), result["OrderNumber"].isdigit()) == (8, True)
    assert (result["TotalAmount"], result["Pricebook2Id"], result["StatusCode"], result["BillingCity"], result["ActivatedDate"]) == (  # noqa: E501
        0.0, None, "Draft", None, None,
    )  # fmt: skip
    assert (await shared.call("GET", f"sobjects/Order/OrderNumber/{result['OrderNumber']}"))[1]["Id"] == order


async def test_order_ending_before_its_start_is_rejected(shared: Caller) -> None:
    """H1."""
    order = await shared.draft()
    refusal = await shared.refusal("PATCH", f"sobjects/Order/{order}", {"EndDate": "2026-01-04"})
    assert refusal[1] == "FIELD_INTEGRITY_EXCEPTION"
    assert (await shared.call("PATCH", f"sobjects/Order/{order}", {"EndDate": "2026-01-05"}))[0] == 204


async def test_order_type_is_free_and_status_is_restricted(shared: Caller) -> None:
    """H1: Type has no values and accepts any."""
    order = await shared.draft(Type="Anything")
    refusal = await shared.refusal("PATCH", f"sobjects/Order/{order}", {"Status": "Anything"})
    assert refusal[1] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


async def test_order_needs_an_activated_contract_of_its_account(shared: Caller) -> None:
    """H1."""
    account, other = await shared.create("Account", Name="H1 a"), await shared.create("Account", Name="H1 b")
    contract = await shared.create("Contract", AccountId=account, StartDate="2026-01-01", ContractTerm=12)
    order = await shared.draft(AccountId=other)
    refusal = await shared.refusal("PATCH", f"sobjects/Order/{order}", {"ContractId": contract})
    assert refusal[1] == "FIELD_INTEGRITY_EXCEPTION"
    order = await shared.draft(AccountId=account, ContractId=contract)
    await shared.create("OrderItem", **await line_body(shared, order))
    refusal = await shared.refusal("PATCH", f"sobjects/Order/{order}", {"Status": "Activated"})
    assert refusal[1] == "FAILED_ACTIVATION"
    assert (await shared.call("PATCH", f"sobjects/Contract/{contract}", {"Status": "Activated"}))[0] == 204
    assert (await shared.call("PATCH", f"sobjects/Order/{order}", {"Status": "Activated"}))[0] == 204


async def test_account_with_an_activated_order_cannot_be_deleted(shared: Caller) -> None:
    """H1, H8: drafts and contacts are deleted with their account."""
    order, _ = await shared.active_order()
    account = (await row(shared, "Order", order, "AccountId"))["AccountId"]
    assert (await shared.refusal("DELETE", f"sobjects/Account/{account}"))[:2] == (400, "DELETE_FAILED")
    account = await shared.create("Account", Name="H1")
    contact = await shared.create("Contact", LastName="H8", AccountId=account)
    draft = await shared.draft(AccountId=account)
    assert (await shared.call("DELETE", f"sobjects/Account/{account}"))[0] == 204
    for path in (f"Contact/{contact}", f"Order/{draft}"):
        assert (await shared.refusal("GET", f"sobjects/{path}"))[1] == "ENTITY_IS_DELETED"


# -- H2 --------------------------------------------------------------------------------------------------------------


async def test_line_copies_product_and_list_price_from_its_entry(shared: Caller) -> None:
    """H2: the total is price times quantity, rounded."""
    product, entry = await shared.priced_product("H2", price=10)
    order = await shared.draft()
    body = {"OrderId": order, "PricebookEntryId": entry, "Quantity": "1.5", "UnitPrice": 3.33}
    line = await shared.create("OrderItem", **body)
    result = await row(
        shared, "OrderItem", line, "Product2Id", "ListPrice", "TotalPrice", "AvailableQuantity", "OrderItemNumber"
    )
    assert result["OrderItemNumber"].isdigit()
    assert (result["Product2Id"], result["ListPrice"], result["TotalPrice"], result["AvailableQuantity"]) == (
        product,
        10.0,
        5.0,
        1.5,
    )
    assert (await row(shared, "Order", order, "TotalAmount"))["TotalAmount"] == 5.0
    await shared.call("PATCH", f"sobjects/PricebookEntry/{entry}", {"UnitPrice": 20})
    assert (await row(shared, "OrderItem", line, "ListPrice"))["ListPrice"] == 10.0  # H6


@pytest.mark.parametrize(
    "field", ["OrderId", "PricebookEntryId", "Product2Id", "ListPrice", "TotalPrice", "AvailableQuantity"]
)
async def test_create_only_fields_of_a_line_cannot_be_changed(shared: Caller, field: str) -> None:
    """H2."""
    line = await shared.create("OrderItem", **await line_body(shared, await shared.draft()))
    refusal = await shared.refusal("PATCH", f"sobjects/OrderItem/{line}", {field: None})
    assert refusal[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


@pytest.mark.parametrize("field", ["Discount", "LineNumber", "SortOrder", "Name", "ProductCode"])
async def test_unknown_field_of_a_line_is_rejected(shared: Caller, field: str) -> None:
    """H2."""
    line = await shared.create("OrderItem", **await line_body(shared, await shared.draft()))
    assert (await shared.refusal("PATCH", f"sobjects/OrderItem/{line}", {field: None}))[1] == "INVALID_FIELD"


async def test_deleted_line_is_not_in_the_recycle_bin(shared: Caller) -> None:
    """H2: only the list of deleted records shows it."""
    line = await shared.create("OrderItem", **await line_body(shared, await shared.draft()))
    assert (await shared.call("DELETE", f"sobjects/OrderItem/{line}"))[0] == 204
    soql = f"queryAll?q=SELECT+Id+FROM+OrderItem+WHERE+Id='{line}'"
    assert (await shared.call("GET", soql))[1]["totalSize"] == 0
    assert (await shared.refusal("GET", f"sobjects/OrderItem/{line}"))[1] == "NOT_FOUND"


# -- H3 --------------------------------------------------------------------------------------------------------------


async def test_activation_is_stamped_and_repeating_it_changes_nothing(shared: Caller) -> None:
    """H3: setting the order back to Draft clears the stamp."""
    order, _ = await shared.active_order()
    stamps = ("ActivatedDate", "ActivatedById", "StatusCode")
    first = await row(shared, "Order", order, *stamps)
    assert (first["StatusCode"], first["ActivatedById"]) == ("Activated", shared.org.org.auth.identity.user_id)
    assert (await shared.call("PATCH", f"sobjects/Order/{order}", {"Status": "Activated"}))[0] == 204
    assert await row(shared, "Order", order, *stamps) == first
    await shared.call("PATCH", f"sobjects/Order/{order}", {"Status": "Draft"})
    assert (await row(shared, "Order", order, *stamps))["ActivatedDate"] is None


async def test_other_fields_can_be_edited_after_activation(shared: Caller) -> None:
    """H3: fields that are not fixed."""
    order, line = await shared.active_order()
    assert (await shared.call("PATCH", f"sobjects/Order/{order}", {"PoNumber": "1", "Description": "x"}))[0] == 204
    assert (await shared.call("PATCH", f"sobjects/OrderItem/{line}", {"Description": "x"}))[0] == 204


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ({"ServiceDate": "2026-01-04"}, 400), ({"ServiceDate": "2026-01-05"}, 201), ({"EndDate": "2026-03-01"}, 400),
        ({"EndDate": "2026-02-28"}, 201), ({"ServiceDate": "2026-02-02", "EndDate": "2026-02-01"}, 400),
    ],
)  # fmt: skip
async def test_line_dates_outside_the_order_are_rejected(shared: Caller, line: dict[str, str], status: int) -> None:
    """H3."""
    order = await shared.draft(EndDate="2026-02-28")
    body, answer = await shared.call("POST", "sobjects/OrderItem", await line_body(shared, order, **line))
    assert (body, status == 201 or answer[0]["errorCode"]) == (status, status == 201 or "FIELD_INTEGRITY_EXCEPTION")


async def test_order_without_end_accepts_any_line_end(shared: Caller) -> None:
    """H3."""
    body = await line_body(shared, await shared.draft(), EndDate="2999-12-31")
    assert (await shared.call("POST", "sobjects/OrderItem", body))[0] == 201


async def test_price_book_of_an_order_with_lines_cannot_be_changed(shared: Caller) -> None:
    """H1, H3."""
    order, other = await shared.draft(), await shared.create("Pricebook2", Name="H3", IsActive=True)
    assert (await shared.call("PATCH", f"sobjects/Order/{order}", {"Pricebook2Id": other}))[0] == 204
    order = await shared.draft()
    await shared.create("OrderItem", **await line_body(shared, order))
    assert (await shared.refusal("PATCH", f"sobjects/Order/{order}", {"Pricebook2Id": other}))[0] == 400


async def test_line_with_an_inactive_price_is_rejected(shared: Caller) -> None:
    """H3, H6: new entries and products are inactive by default."""
    product = await shared.create("Product2", Name="H6")
    book = await shared.standard_price_book()
    entry = await shared.create("PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=1)
    assert (await row(shared, "Product2", product, "IsActive"))["IsActive"] is False
    body = {"OrderId": await shared.draft(), "PricebookEntryId": entry, "Quantity": 1, "UnitPrice": 1}
    code, message = (await shared.refusal("POST", "sobjects/OrderItem", body))[1:]
    assert (code, "pricebook entry is inactive" in message) == ("FIELD_INTEGRITY_EXCEPTION", True)


async def test_deleted_draft_is_in_the_recycle_bin_without_lines(shared: Caller) -> None:
    """H3."""
    order = await shared.draft()
    line = await shared.create("OrderItem", **await line_body(shared, order))
    assert (await shared.call("DELETE", f"sobjects/Order/{order}"))[0] == 204
    body = (await shared.call("GET", f"queryAll?q=SELECT+IsDeleted+FROM+Order+WHERE+Id='{order}'"))[1]
    assert body["records"][0]["IsDeleted"] is True
    assert (await shared.call("GET", f"sobjects/OrderItem/{line}"))[0] == 404


# -- H6 --------------------------------------------------------------------------------------------------------------


async def test_second_price_of_a_product_is_rejected_even_if_inactive(shared: Caller) -> None:
    """H6."""
    product, entry = await shared.priced_product("H6")
    await shared.call("PATCH", f"sobjects/PricebookEntry/{entry}", {"IsActive": False})
    body = {"Pricebook2Id": await shared.standard_price_book(), "Product2Id": product, "UnitPrice": 1}
    code, message = (await shared.refusal("POST", "sobjects/PricebookEntry", body))[1:]
    assert (code, message) == ("DUPLICATE_VALUE", "This price definition already exists in this price book")


async def test_price_can_follow_the_standard_price(shared: Caller) -> None:
    """H6: its unit price is equal or absent."""
    product, entry = await shared.priced_product("H6", price=5)
    book = await shared.create("Pricebook2", Name="H6", IsActive=True)
    body = {"Pricebook2Id": book, "Product2Id": product, "UseStandardPrice": True, "IsActive": True}
    assert (await shared.refusal("POST", "sobjects/PricebookEntry", {**body, "UnitPrice": 4}))[0] == 400
    follower = await shared.create("PricebookEntry", **body)
    assert (await row(shared, "PricebookEntry", follower, "UnitPrice"))["UnitPrice"] == 5.0
    await shared.call("PATCH", f"sobjects/PricebookEntry/{entry}", {"UnitPrice": 6})
    assert (await row(shared, "PricebookEntry", follower, "UnitPrice"))["UnitPrice"] == 6.0


async def test_product_price_and_price_book_in_use_cannot_be_deleted(shared: Caller) -> None:
    """H6: the standard price book cannot be deleted at all."""
    order, line = await shared.active_order()
    result = await row(shared, "OrderItem", line, "Product2Id", "PricebookEntryId")
    book = await shared.standard_price_book()
    for path in (
        f"Product2/{result['Product2Id']}",
        f"PricebookEntry/{result['PricebookEntryId']}",
        f"Pricebook2/{book}",
    ):
        assert (await shared.refusal("DELETE", f"sobjects/{path}"))[:2] == (400, "DELETE_FAILED")
    assert order
    assert (await shared.refusal("POST", "sobjects/Pricebook2", {"Name": "x", "IsStandard": True}))[0] == 400
    assert len(await shared.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")) == 1


# -- H9, H10, H11 ----------------------------------------------------------------------------------------------------


async def test_external_id_is_trimmed_and_may_be_null(shared: Caller) -> None:
    """H9: several records may have null."""
    created_id = await shared.create("Account", Name="H9", External_Key__c="  H9-1  ")
    assert (await shared.call("GET", "sobjects/Account/External_Key__c/H9-1"))[1]["Id"] == created_id
    for _ in range(2):
        await shared.create("Account", Name="H9", External_Key__c="")


@pytest.mark.parametrize(
    ("short", "suffix"),
    [("0015500001QdQWa", "AAN"), ("801D0000000G0yl", "IAC"), ("802D0000000CKoy", "IAG"), ("01uD0000001c5to", "IAA"),
     ("a00E0000004D5ls", "IAC"), ("012000000000000", "AAA")],
)  # fmt: skip
async def test_id_checksum_matches_real_ids(short: str, suffix: str) -> None:
    """H10: as those of real records."""
    assert ids.normalize(short) == short + suffix


@pytest.mark.parametrize(
    ("sobject", "prefix"),
    [("Account", "001"), ("Contact", "003"), ("User", "005"), ("Order", "801"), ("OrderItem", "802"), ("Contract", "800"),  # noqa: E501
     ("Product2", "01t"), ("Pricebook2", "01s"), ("PricebookEntry", "01u"), ("Case", "500"), ("Organization", "00D"),
     ("PermissionSet", "0PS")],
)  # fmt: skip
async def test_id_begins_with_the_key_prefix(shared: Caller, sobject: str, prefix: str) -> None:
    """H10."""
    _, body = await shared.call("GET", f"sobjects/{sobject}/describe")
    assert body["keyPrefix"] == prefix


async def test_write_stamps_the_row_and_rollup_only_the_system_modstamp(shared: Caller) -> None:
    """H11: SystemModstamp is never older than LastModifiedDate."""
    order = await shared.draft()
    before = await row(shared, "Order", order, "LastModifiedDate", "SystemModstamp")
    assert before["SystemModstamp"] >= before["LastModifiedDate"]
    for field in ("CreatedDate", "LastModifiedDate", "CreatedById"):
        refusal = await shared.refusal("PATCH", f"sobjects/Order/{order}", {field: before["LastModifiedDate"]})
        assert refusal[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


@pytest.mark.parametrize(
    ("value", "stored"),
    [("1.005", 1.01), (1.005, 1.01), (2.675, 2.68), ("-0.004", 0.0), (10**15, 10.0**15), (10**16, None)],
)
async def test_decimals_are_rounded_half_up_and_bounded(shared: Caller, value: Any, stored: float | None) -> None:
    """H11: surplus decimals are rounded, surplus digits before the point are rejected."""
    _, entry = await shared.priced_product("H11")
    status, body = await shared.call("PATCH", f"sobjects/PricebookEntry/{entry}", {"UnitPrice": value})
    if stored is None:
        assert (status, body[0]["errorCode"]) == (400, "NUMBER_OUTSIDE_VALID_RANGE")
    else:
        assert (await row(shared, "PricebookEntry", entry, "UnitPrice"))["UnitPrice"] == stored
