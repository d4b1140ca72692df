"""Chapter H: returns (H7), cases and tasks (H8), and field history (H11)."""

from __future__ import annotations

import pytest

from connector.localorg.metadata.deployments import OPTIONS
from tests.org.conftest import Caller
from tests.org.packages import history_package


async def test_return_order_has_defaults_category_and_totals(caller: Caller) -> None:
    """H7."""
    order, line = await caller.active_order()
    returned = await caller.create("ReturnOrder", OrderId=order, ExpectedArrivalDate="2026-03-01T10:00:00Z")
    await caller.create(
        "ReturnOrderLineItem", ReturnOrderId=returned, OrderItemId=line, QuantityReturned=2, UnitPrice=4.5
    )
    [row] = await caller.query(
        "SELECT ReturnOrderNumber, Status, StatusCategory, ShipmentType, GrandTotalAmount,"
        " (SELECT ReasonForReturn, ProcessingPlan, RepaymentMethod, Product2Id, TotalLineAmount"
        " FROM ReturnOrderLineItems) FROM ReturnOrder"
    )
    assert (row["Status"], row["StatusCategory"], row["ShipmentType"]) == ("Draft", "Draft", "Standard")
    assert row["ReturnOrderNumber"].isdigit()
    assert row["GrandTotalAmount"] == 9.0
    [item] = row["ReturnOrderLineItems"]["records"]
    assert (item["ReasonForReturn"], item["ProcessingPlan"], item["RepaymentMethod"]) == (
        "Damaged",
        "Repair",
        "Replace",
    )
    assert item["TotalLineAmount"] == 9.0
    assert item["Product2Id"] == (await caller.query("SELECT Product2Id FROM OrderItem"))[0]["Product2Id"]
    await caller.call("PATCH", f"sobjects/ReturnOrder/{returned}", {"Status": "Submitted"})
    [row] = await caller.query("SELECT StatusCategory FROM ReturnOrder")
    assert row["StatusCategory"] == "Activated"
    [parent] = await caller.query("SELECT (SELECT Id FROM ReturnOrders) FROM Order")
    assert parent["ReturnOrders"]["totalSize"] == 1


async def test_return_line_needs_a_product_and_a_quantity(caller: Caller) -> None:
    """H7."""
    returned = await caller.create("ReturnOrder")
    product, _ = await caller.priced_product()
    for fields, code in (
        ({"QuantityReturned": 1}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Product2Id": product}, "REQUIRED_FIELD_MISSING"),
        ({"Product2Id": product, "QuantityReturned": 0}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Product2Id": product, "QuantityReturned": 1, "ReasonForReturn": "Boredom"},
         "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
    ):  # fmt: skip
        body = {"ReturnOrderId": returned, **fields}
        assert (await caller.refusal("POST", "sobjects/ReturnOrderLineItem", body))[:2] == (400, code)
    line = await caller.create("ReturnOrderLineItem", ReturnOrderId=returned, Product2Id=product, QuantityReturned=1)
    await caller.call("DELETE", f"sobjects/ReturnOrder/{returned}")
    assert (await caller.call("GET", f"sobjects/ReturnOrderLineItem/{line}"))[0] == 404


async def test_case_copies_its_contact_and_is_stamped_when_closed(caller: Caller) -> None:
    """H8: the contact lists its cases."""
    account = await caller.create("Account", Name="A")
    contact = await caller.create("Contact", LastName="L", AccountId=account, Email="l@example.com")
    case = await caller.create("Case", ContactId=contact, Subject="Broken", Origin="Carrier pigeon")
    _, row = await caller.call("GET", f"sobjects/Case/{case}")
    assert (row["Status"], row["Priority"], row["IsClosed"], row["ClosedDate"]) == ("New", "Medium", False, None)
    assert (row["AccountId"], row["ContactEmail"]) == (account, "l@example.com")
    await caller.call("PATCH", f"sobjects/Case/{case}", {"Status": "Closed"})
    _, row = await caller.call("GET", f"sobjects/Case/{case}")
    assert (row["IsClosed"], row["ClosedDate"] is not None) == (True, True)


@pytest.mark.parametrize("about", ["Order", "Account"])
async def test_task_is_linked_to_its_account(caller: Caller, about: str) -> None:
    """H8: the account lists its tasks."""
    order, _ = await caller.active_order()
    [row] = await caller.query("SELECT AccountId FROM Order")
    what = order if about == "Order" else row["AccountId"]
    task = await caller.create("Task", WhatId=what, Subject="Call", Priority="High", ActivityDate="2026-02-01")
    _, body = await caller.call("GET", f"sobjects/Task/{task}")
    assert (body["Status"], body["IsHighPriority"], body["AccountId"]) == ("Not Started", True, row["AccountId"])
    await caller.call("PATCH", f"sobjects/Task/{task}", {"Status": "Completed"})
    [body] = await caller.query("SELECT IsClosed, What.Type, What.Name FROM Task WHERE What.Type != 'Case'")
    [rows] = await caller.query(f"SELECT {'OrderNumber' if about == 'Order' else 'Name'} FROM {about}")
    assert (body["IsClosed"], body["What"]["Type"]) == (True, about)
    assert body["What"]["Name"] == rows.get("Name", rows.get("OrderNumber"))
    assert body["What"]["attributes"] == {"type": "Name", "url": f"/services/data/v66.0/sobjects/{about}/{what}"}


async def test_history_of_tracked_fields_records_changes_of_users(caller: Caller) -> None:
    """H11."""
    order, _ = await caller.active_order()
    await caller.call("PATCH", f"sobjects/Order/{order}", {"Description": "not tracked"})
    assert await caller.query("SELECT Field FROM OrderHistory") == []
    content = history_package("Order", "Status", "Description", "PoNumber")
    deployment = caller.org.org.deployments.start(content, dict(OPTIONS))
    caller.org.org.deployments.run(deployment)
    assert deployment.status == "Succeeded"
    where = "EntityDefinition.QualifiedApiName = 'Order' AND QualifiedApiName IN ('PoNumber', 'PoDate')"
    rows = await caller.query(f"SELECT QualifiedApiName, IsFieldHistoryTracked FROM FieldDefinition WHERE {where}")
    assert {row["QualifiedApiName"]: row["IsFieldHistoryTracked"] for row in rows} == {
        "PoNumber": True,
        "PoDate": False,
    }
    order, _ = await caller.active_order()
    await caller.call("PATCH", f"sobjects/Order/{order}", {"Description": "long", "PoNumber": "7"})
    await caller.call("PATCH", f"sobjects/Order/{order}", {"PoNumber": "8"})
    rows = await caller.query(
        "SELECT Field, OldValue, NewValue, DataType, CreatedBy.Name FROM OrderHistory ORDER BY CreatedDate, Id"
    )
    assert [(row["Field"], row["OldValue"], row["NewValue"]) for row in rows] == [
        ("Status", "Draft", "Activated"), ("Description", None, None), ("PoNumber", None, "7"), ("PoNumber", "7", "8"),
    ]  # fmt: skip
    assert rows[0]["CreatedBy"]["Name"] == "Local Administrator"
    [row] = await caller.query(f"SELECT (SELECT Field FROM Histories) FROM Order WHERE Id = '{order}'")
    assert row["Histories"]["totalSize"] == 4
    status, code, _ = await caller.refusal("POST", "sobjects/OrderHistory", {"OrderId": order})
    assert (status, code) == (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY")
