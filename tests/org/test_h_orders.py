"""Chapter H: the rules of orders and lines (H1 to H3), prices (H6) and external IDs (H9), with their error codes."""

from __future__ import annotations

import pytest

from tests.org.conftest import Caller


async def test_new_order_that_is_no_draft_is_rejected(caller: Caller) -> None:
    """H3."""
    account = await caller.create("Account", Name="Acme")
    body = {"AccountId": account, "EffectiveDate": "2026-01-05", "Status": "Activated"}
    assert (await caller.refusal("POST", "sobjects/Order", body))[1] == "FAILED_ACTIVATION"


async def test_order_without_account_is_rejected(caller: Caller) -> None:
    """H1."""
    body = {"EffectiveDate": "2026-01-05", "Status": "Draft"}
    status, code, message = await caller.refusal("POST", "sobjects/Order", body)
    assert (status, code, message) == (400, "REQUIRED_FIELD_MISSING", "Select an account.")


async def test_line_of_an_order_without_price_book_is_rejected(caller: Caller) -> None:
    """H3."""
    _, entry = await caller.priced_product()
    order = await caller.draft(Pricebook2Id=None)
    line = {"OrderId": order, "PricebookEntryId": entry, "Quantity": 1, "UnitPrice": 1}
    assert (await caller.refusal("POST", "sobjects/OrderItem", line))[1] == "FIELD_INTEGRITY_EXCEPTION"


async def test_line_from_another_price_book_is_rejected(caller: Caller) -> None:
    """H3."""
    product, _ = await caller.priced_product()
    other = await caller.create("Pricebook2", Name="Wholesale", IsActive=True)
    entry = await caller.create("PricebookEntry", Pricebook2Id=other, Product2Id=product, UnitPrice=8, IsActive=True)
    line = {"OrderId": await caller.draft(), "PricebookEntryId": entry, "Quantity": 1, "UnitPrice": 1}
    assert (await caller.refusal("POST", "sobjects/OrderItem", line))[1] == "FIELD_INTEGRITY_EXCEPTION"


async def test_custom_price_without_standard_price_is_rejected(caller: Caller) -> None:
    """H6."""
    product = await caller.create("Product2", Name="New", IsActive=True)
    other = await caller.create("Pricebook2", Name="Wholesale", IsActive=True)
    body = {"Pricebook2Id": other, "Product2Id": product, "UnitPrice": 8, "IsActive": True}
    _, code, message = await caller.refusal("POST", "sobjects/PricebookEntry", body)
    assert code == "STANDARD_PRICE_NOT_DEFINED"
    assert message == "Before creating a custom price, create a standard price."


async def test_line_without_unit_price_is_rejected(caller: Caller) -> None:
    """H2."""
    _, entry = await caller.priced_product()
    line = {"OrderId": await caller.draft(), "PricebookEntryId": entry, "Quantity": 1}
    message = (await caller.refusal("POST", "sobjects/OrderItem", line))[2]
    assert "Unit Price" in message


async def test_activation_without_lines_is_rejected(caller: Caller) -> None:
    """H3."""
    order = await caller.draft()
    _, code, message = await caller.refusal("PATCH", f"sobjects/Order/{order}", {"Status": "Activated"})
    assert (code, message) == ("FAILED_ACTIVATION", "An order must have at least one product.")


async def test_activating_write_with_other_fields_is_rejected(caller: Caller) -> None:
    """H3."""
    _, entry = await caller.priced_product()
    order = await caller.draft()
    await caller.create("OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=1, UnitPrice=1)
    body = {"Status": "Activated", "Description": "and this"}
    await caller.refusal("PATCH", f"sobjects/Order/{order}", body)
    assert (await caller.query(f"SELECT Status FROM Order WHERE Id = '{order}'"))[0]["Status"] == "Draft"


async def test_lines_of_an_activated_order_cannot_be_added_or_deleted(caller: Caller) -> None:
    """H3."""
    order, line = await caller.active_order()
    _, entry = await caller.priced_product("Coffee")
    added = {"OrderId": order, "PricebookEntryId": entry, "Quantity": 1, "UnitPrice": 1}
    assert (await caller.refusal("POST", "sobjects/OrderItem", added))[1] == "ENTITY_IS_LOCKED"
    assert (await caller.refusal("DELETE", f"sobjects/OrderItem/{line}"))[1] == "ENTITY_IS_LOCKED"
    assert (await caller.refusal("DELETE", f"sobjects/Order/{order}"))[1] == "DELETE_FAILED"


@pytest.mark.parametrize("field", ["AccountId", "Pricebook2Id", "EffectiveDate"])
async def test_fixed_fields_of_an_activated_order_cannot_be_changed(caller: Caller, field: str) -> None:
    """H3."""
    order, _ = await caller.active_order()
    values = {
        "AccountId": await caller.create("Account", Name="Other"),
        "Pricebook2Id": await caller.create("Pricebook2", Name="Other", IsActive=True),
        "EffectiveDate": "2026-02-01",
    }
    refused = await caller.refusal("PATCH", f"sobjects/Order/{order}", {field: values[field]})
    assert refused == (400, "FIELD_INTEGRITY_EXCEPTION", "unable to modify activated order")


async def test_order_set_back_to_draft_can_be_changed(caller: Caller) -> None:
    """H3."""
    order, line = await caller.active_order()
    assert (await caller.call("PATCH", f"sobjects/Order/{order}", {"Status": "Draft"}))[0] == 204
    assert (await caller.call("DELETE", f"sobjects/OrderItem/{line}"))[0] == 204
    assert (await caller.call("DELETE", f"sobjects/Order/{order}"))[0] == 204


async def test_order_total_follows_its_lines(caller: Caller) -> None:
    """H1."""
    order, _ = await caller.active_order()
    [row] = await caller.query(f"SELECT TotalAmount, StatusCode, OrderNumber FROM Order WHERE Id = '{order}'")
    assert (row["TotalAmount"], row["StatusCode"]) == (20.0, "Activated")
    assert row["OrderNumber"].isdigit()


async def test_upsert_of_an_existing_line_rejects_create_only_fields(caller: Caller) -> None:
    """H2."""
    _, entry = await caller.priced_product()
    order = await caller.draft()
    body = {"OrderId": order, "PricebookEntryId": entry, "Quantity": 1, "UnitPrice": 1}
    path = "sobjects/OrderItem/External_Key__c/A-1"
    assert (await caller.call("PATCH", path, body))[0] == 201
    assert (await caller.refusal("PATCH", path, body))[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


async def test_org_with_one_currency_has_no_currency_field(caller: Caller) -> None:
    """H1."""
    account = await caller.create("Account", Name="Acme")
    body = {"AccountId": account, "EffectiveDate": "2026-01-05", "Status": "Draft", "CurrencyIsoCode": "EUR"}
    assert (await caller.refusal("POST", "sobjects/Order", body))[1] == "INVALID_FIELD"


async def test_duplicate_external_id_is_rejected_naming_the_other_record(caller: Caller) -> None:
    """H9."""
    first = await caller.create("Account", Name="One", External_Key__c="C-1")
    _, code, message = await caller.refusal("POST", "sobjects/Account", {"Name": "Two", "External_Key__c": "C-1"})
    assert code == "DUPLICATE_VALUE"
    assert first[:15] in message
    await caller.create("Account", Name="Case counts", External_Key__c="c-1")


async def test_too_long_text_is_rejected_in_the_platforms_words(caller: Caller) -> None:
    """B8."""
    _, code, message = await caller.refusal("POST", "sobjects/Account", {"Name": "x" * 300})
    assert code == "STRING_TOO_LONG"
    assert message.startswith("Account Name: data value too large: ")
    assert message.endswith("(max length=255)")
