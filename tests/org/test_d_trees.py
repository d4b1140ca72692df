"""Chapter D: trees (D4), and the limits of graphs (D5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.org.conftest import SHARED, Caller
from tests.org.test_d_limits import NEVER, count, step

pytestmark = SHARED


# -- D4 --------------------------------------------------------------------------------------------------------------


def leaf(reference: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"attributes": {"type": kind, "referenceId": reference}, **more}


async def test_tree_creates_parents_and_children(shared: Caller) -> None:
    """D4: parents and children in one call, also an order with its lines."""
    _, entry = await shared.priced_product("D4")
    book = await shared.standard_price_book()
    line = leaf("line", "OrderItem", PricebookEntryId=entry, Quantity=1, UnitPrice=2)
    order = leaf("order", "Order", EffectiveDate="2026-01-05", Status="Draft", Pricebook2Id=book,
                 OrderItems={"records": [line]})  # fmt: skip
    root = leaf("root", "Account", Name="D4", Orders={"records": [order]}, Contacts={"records": [leaf("c", "Contact", LastName="c")]})  # noqa: E501  # fmt: skip
    used = shared.org.org.usage.calls
    status, body = await shared.call("POST", "composite/tree/Account", {"records": [root]})
    assert (status, body["hasErrors"], shared.org.org.usage.calls) == (201, False, used + 1)
    assert sorted(item["referenceId"] for item in body["results"]) == ["c", "line", "order", "root"]
    [row] = await shared.query("SELECT TotalAmount, Account.Name FROM Order WHERE Account.Name = 'D4'")
    assert row["TotalAmount"] == 2.0


async def test_failed_tree_is_rolled_back_and_lists_failures(shared: Caller) -> None:
    """D4: the response lists failed rows only."""
    records = [leaf("a", "Account", Name="D4 none"), leaf("b", "Account", Name="x" * 300)]
    status, body = await shared.call("POST", "composite/tree/Account", {"records": records})
    assert (status, body["hasErrors"]) == (400, True)
    [failed] = body["results"]
    assert (failed["referenceId"], failed["errors"][0]["statusCode"], failed["errors"][0]["fields"]) == (
        "b", "STRING_TOO_LONG", ["Name"],
    )  # fmt: skip
    assert await count(shared, "D4 none") == 0


def nested(depth: int) -> dict[str, Any]:
    children = {"ChildAccounts": {"records": [nested(depth - 1)]}} if depth > 1 else {}
    return leaf(f"level{depth}", "Account", Name="D4 deep", **children)


async def test_tree_size_is_limited(shared: Caller) -> None:
    """D4: 200 records, five levels."""
    assert (await shared.call("POST", "composite/tree/Account", {"records": [nested(5)]}))[0] == 201
    assert (await shared.call("POST", "composite/tree/Account", {"records": [nested(6)]}))[0] == 400
    many = [leaf(f"r{number}", "Account", Name="D4 many") for number in range(201)]
    assert (await shared.call("POST", "composite/tree/Account", {"records": many}))[0] == 400
    assert await count(shared, "D4 many") == 0
    assert (await shared.call("POST", "composite/tree/Account", {"records": many[:200]}))[0] == 201


@pytest.mark.parametrize(
    "records",
    [None, {}, [1], [{"Name": "x"}], [leaf("", "Account")], [leaf("a", "Account", Name="x")] * 2,
     [leaf("a", "Account", Name="x", Contacts=1)], [leaf("a", "Account", Name="x", Contacts={"records": 1})],
     [leaf("a", "Contact", LastName="x")], []],
)  # fmt: skip
async def test_malformed_tree_is_rejected(shared: Caller, records: Any) -> None:
    """D4: reference IDs are unique; types match the address."""
    status, _ = await shared.call("POST", "composite/tree/Account", {"records": records})
    assert status == 400


# -- D5 --------------------------------------------------------------------------------------------------------------


def chain(length: int) -> list[dict[str, Any]]:
    root = step("n0", "POST", "sobjects/Account", {"Name": "D5"})
    return [root] + [
        step(f"n{number}", "POST", "sobjects/Account", {"Name": "D5", "ParentId": f"@{{n{number - 1}.id}}"})
        for number in range(1, length)
    ]


async def test_graph_depth_and_kinds_are_limited(shared: Caller) -> None:
    """D5: 15 levels, 15 kinds of nodes: version, method and type."""
    assert (await shared.graph(chain(15)))[0]["isSuccessful"] is True
    sent = {"graphs": [{"graphId": "deep", "compositeRequest": chain(16)}]}
    assert (await shared.call("POST", "composite/graph", sent))[0] == 400
    kinds = [
        step(f"k{number}", "GET", f"/services/data/v{50 + number}.0/sobjects/Account/{NEVER}") for number in range(16)
    ]
    sent = {"graphs": [{"graphId": "kinds", "compositeRequest": kinds}]}
    assert (await shared.call("POST", "composite/graph", sent))[0] == 400
    sent["graphs"][0]["compositeRequest"] = kinds[:15]
    assert (await shared.call("POST", "composite/graph", sent))[0] == 200


@pytest.mark.parametrize("name", ["", "_a", "a.b", "x" * 40, None, 1])
async def test_invalid_graph_id_is_rejected(shared: Caller, name: Any) -> None:
    """D5: it starts with a letter or digit, has no period and fewer than 40 characters."""
    good = {"graphId": "x" * 39, "compositeRequest": chain(1)}
    assert (await shared.call("POST", "composite/graph", {"graphs": [good]}))[0] == 200
    assert (await shared.call("POST", "composite/graph", {"graphs": [{**good, "graphId": name}]}))[0] == 400
    assert (await shared.call("POST", "composite/graph", {"graphs": [good, good]}))[0] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "query?q=SELECT+Id+FROM+Account"), ("POST", "composite/sobjects"), ("GET", "sobjects/Account"),
     ("PUT", f"sobjects/Account/{NEVER}"), ("POST", f"sobjects/Account/{NEVER}"), ("GET", "sobjects/Account/describe"),
     ("GET", "limits"), ("PATCH", "sobjects/Account"), ("GET", "sobjects/Account/updated")],
)  # fmt: skip
async def test_unsupported_subrequest_of_a_graph_is_rejected(shared: Caller, method: str, path: str) -> None:
    """D5: rows only, by ID or by key."""
    sent = {"graphs": [{"graphId": "g", "compositeRequest": [step("n", method, path, {})]}]}
    assert (await shared.call("POST", "composite/graph", sent))[0] == 400


async def test_failed_graph_lists_its_failed_nodes_only(shared: Caller) -> None:
    """D5: as recorded from a real org."""
    await shared.create("Account", Name="D5 twin", External_Key__c="D5")
    nodes = [
        step("first", "POST", "sobjects/Account", {"Name": "D5 gone"}),
        step("twin", "POST", "sobjects/Account", {"Name": "x", "External_Key__c": "D5", "ParentId": "@{first.id}"}),
        step("child", "POST", "sobjects/Contact", {"LastName": "x", "AccountId": "@{twin.id}"}),
    ]
    [graph] = await shared.graph(nodes)
    assert graph["isSuccessful"] is False
    first, twin, child = graph["graphResponse"]["compositeResponse"]
    halted = [{
        "errorCode": "PROCESSING_HALTED",
        "message": "The transaction was rolled back since another operation in the same transaction failed.",
    }]  # fmt: skip
    assert (first["httpStatusCode"], first["body"], first["httpHeaders"]) == (400, halted, {})
    assert child["body"] == halted
    assert (twin["body"][0]["errorCode"], twin["body"][0]["fields"]) == ("DUPLICATE_VALUE", [])
    assert await count(shared, "D5 gone") == 0
    _, body = await shared.call(
        "POST", "composite/graph", {"graphs": [{"graphId": "g", "compositeRequest": chain(1)}] * 0}
    )
    assert body[0]["errorCode"] == "JSON_PARSER_ERROR"


async def test_nested_external_id_does_not_order_a_graph(shared: Caller) -> None:
    """D5: only `@{}` does; in many runs the child sometimes comes first and fails."""
    outcomes = set()
    for number in range(12):
        parent = step("p", "PATCH", f"sobjects/Account/External_Key__c/D5-{number}", {"Name": "D5"})
        child = step("c", "POST", "sobjects/Contact", {"LastName": "x", "Account": {"External_Key__c": f"D5-{number}"}})
        [graph] = await shared.graph([parent, child])
        outcomes.add(graph["isSuccessful"])
    assert outcomes == {True, False}
