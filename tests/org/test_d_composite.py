"""Chapter D: collections (D1), composite (D2) and graph (D5), with their limits and failures."""

from __future__ import annotations

from typing import Any

import pytest

from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from tests.org.conftest import BASE, Caller


def node(reference: str, sobject: str, key: str, **body: Any) -> dict[str, Any]:
    url = f"{BASE}/sobjects/{sobject}/External_Key__c/{key}"
    return {"method": "PATCH", "url": url, "referenceId": reference, "body": body}


async def an_order(caller: Caller, key: str, entry: str, **extra: Any) -> list[dict[str, Any]]:
    book = await caller.standard_price_book()
    order = {
        "AccountId": "@{account.id}", "EffectiveDate": "2026-01-05", "Status": "Draft", "Pricebook2Id": book,
    }  # fmt: skip
    line = {"OrderId": "@{order.id}", "PricebookEntryId": entry, "Quantity": 1, "UnitPrice": 5}
    return [
        node("line", "OrderItem", f"{key}-1", **line | extra),  # listed first: only references order a graph
        node("order", "Order", key, **order),
        node("account", "Account", f"C-{key}", Name="Acme"),
    ]


async def test_graph_runs_in_order_of_its_references(caller: Caller) -> None:
    """D5."""
    _, entry = await caller.priced_product()
    [graph] = await caller.graph(await an_order(caller, "A-1", entry))
    assert graph["isSuccessful"] is True
    answers = graph["graphResponse"]["compositeResponse"]
    assert [answer["referenceId"] for answer in answers] == ["line", "order", "account"]
    assert [answer["httpStatusCode"] for answer in answers] == [201, 201, 201]


async def test_failed_graph_is_rolled_back_and_its_neighbor_is_kept(caller: Caller) -> None:
    """D5."""
    _, entry = await caller.priced_product()
    bad = await an_order(caller, "A-1", entry, Quantity=0)
    good = await an_order(caller, "A-2", entry)
    first, second = await caller.graph(bad, good)
    assert (first["isSuccessful"], second["isSuccessful"]) == (False, True)
    codes = {
        answer["referenceId"]: answer["body"][0]["errorCode"] for answer in first["graphResponse"]["compositeResponse"]
    }
    assert codes["account"] == codes["order"] == "PROCESSING_HALTED"
    assert codes["line"] != "PROCESSING_HALTED"
    rows = await caller.query("SELECT External_Key__c FROM Order")
    assert [row["External_Key__c"] for row in rows] == ["A-2"]
    assert await caller.query("SELECT Id FROM Account WHERE External_Key__c = 'C-A-1'") == []


async def test_graphs_after_fourteen_failures_are_not_run(caller: Caller) -> None:
    """D5."""
    bad = [[node("account", "Account", f"C-{number}", Name=None)] for number in range(14)]
    graphs = await caller.graph(*bad, [node("account", "Account", "C-good", Name="Good")])
    assert [graph["isSuccessful"] for graph in graphs] == [False] * 15
    assert await caller.query("SELECT Id FROM Account WHERE External_Key__c = 'C-good'") == []


@pytest.mark.parametrize(("graphs", "nodes"), [(76, 1), (2, 251), (1, 501)])
async def test_graph_call_beyond_its_limits_is_rejected(caller: Caller, graphs: int, nodes: int) -> None:
    """D5: 75 graphs, 500 nodes."""
    sent = [
        {"graphId": f"g{g}", "compositeRequest": [node(f"r{n}", "Account", f"{g}-{n}", Name="x") for n in range(nodes)]}
        for g in range(graphs)
    ]
    status, _ = await caller.call("POST", "composite/graph", {"graphs": sent})
    assert status == 400
    assert await caller.query("SELECT Id FROM Account") == []


async def test_collection_returns_outcomes_in_request_order(caller: Caller) -> None:
    """D1."""
    records = [{"attributes": {"type": "Account"}, "Name": name} for name in ("One", "x" * 300, "Three")]
    status, rows = await caller.call("POST", "composite/sobjects", {"allOrNone": False, "records": records})
    assert status == 200
    assert [row["success"] for row in rows] == [True, False, True]
    assert rows[1]["errors"][0]["statusCode"] == "STRING_TOO_LONG"
    assert rows[1]["errors"][0]["fields"] == ["Name"]


async def test_all_or_none_rolls_back_the_valid_rows(caller: Caller) -> None:
    """D1."""
    records = [{"attributes": {"type": "Account"}, "Name": name} for name in ("One", "x" * 300)]
    _, rows = await caller.call("POST", "composite/sobjects", {"allOrNone": True, "records": records})
    assert rows[0]["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert await caller.query("SELECT Id FROM Account") == []


async def test_collection_of_more_than_200_rows_is_rejected(caller: Caller) -> None:
    """D1."""
    records = [{"attributes": {"type": "Account"}, "Name": "x"}] * 201
    status, _ = await caller.call("POST", "composite/sobjects", {"records": records})
    assert status == 400


async def test_key_twice_in_one_upsert_is_rejected(caller: Caller) -> None:
    """D1."""
    records = [{"attributes": {"type": "Account"}, "Name": name, "External_Key__c": "C-1"} for name in ("a", "b")]
    _, rows = await caller.call("PATCH", "composite/sobjects/Account/External_Key__c", {"records": records})
    assert {row["errors"][0]["statusCode"] for row in rows if not row["success"]} == {"DUPLICATE_VALUE"}


async def test_composite_with_all_or_none_is_rolled_back(caller: Caller) -> None:
    """D2."""
    order, line = await caller.active_order()

    def step(reference: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        result = {"method": method, "url": f"{BASE}/{path}", "referenceId": reference}
        return result if body is None else result | {"body": body}

    steps = [
        step("reopen", "PATCH", f"sobjects/Order/{order}", {"Status": "Draft"}),
        step("delete", "DELETE", f"composite/sobjects?ids={line}&allOrNone=true"),
        step("activate", "PATCH", f"sobjects/Order/{order}", {"Status": "Activated"}),  # no line is left
    ]
    body = {"allOrNone": True, "collateSubrequests": False, "compositeRequest": steps}
    status, answer = await caller.call("POST", "composite", body)
    assert status == 200
    codes = [item["httpStatusCode"] for item in answer["compositeResponse"]]
    assert codes[2] == 400
    rows = await caller.query(f"SELECT Status, (SELECT Id FROM OrderItems) FROM Order WHERE Id = '{order}'")
    assert rows[0]["Status"] == "Activated"
    assert rows[0]["OrderItems"]["totalSize"] == 1


async def test_nested_external_id_references_the_parent(caller: Caller) -> None:
    """B3."""
    await caller.create("Account", Name="Acme", External_Key__c="C-1")
    book = await caller.standard_price_book()
    order = await caller.create(
        "Order", Account={"External_Key__c": "C-1"}, EffectiveDate="2026-01-05", Status="Draft", Pricebook2Id=book
    )
    [row] = await caller.query(f"SELECT Account.Name FROM Order WHERE Id = '{order}'")
    assert row["Account"]["Name"] == "Acme"


async def test_graph_call_counts_once_in_the_limit_header(caller: Caller) -> None:
    """D5."""
    _, entry = await caller.priced_product()
    graphs = [await an_order(caller, f"A-{number}", entry) for number in range(10)]
    before = caller.org.org.usage.calls
    await caller.graph(*graphs)
    assert caller.org.org.usage.calls == before + 1


async def test_org_in_a_file_keeps_everything_after_a_restart(tmp_path: Any) -> None:
    """Ours."""
    from connector.cli.localorg import our_metadata

    async def visit(create: bool) -> tuple[str, str, list[Any]]:
        import aiohttp

        async with (
            LocalOrg(OrgOptions(metadata_root=our_metadata(), data=tmp_path / "org.db")) as org,
            aiohttp.ClientSession() as http,
        ):
            caller = Caller(org, http)
            if create:
                await caller.create("Account", Name="Kept", External_Key__c="C-1")
            return org.client_id, org.client_secret, await caller.query("SELECT Id, Name FROM Account")

    first = await visit(create=True)
    assert await visit(create=False) == first
    assert first[2][0]["Name"] == "Kept"


async def test_bare_org_has_no_connector_fields() -> None:
    """Ours."""
    import aiohttp

    async with LocalOrg() as org, aiohttp.ClientSession() as http:
        status, body = await Caller(org, http).call("GET", "sobjects/Order/describe")
        assert status == 200
        assert not [field for field in body["fields"] if field["custom"]]


async def test_outer_all_or_none_overrides_that_of_a_collection(caller: Caller) -> None:
    """D2."""
    good = {"attributes": {"type": "Account"}, "Name": "in a collection"}
    bad = {"attributes": {"type": "Account"}}
    steps = [
        {"method": "POST", "url": "/services/data/v66.0/sobjects/Account", "referenceId": "one", "body": {"Name": "A"}},
        {"method": "POST", "url": "/services/data/v66.0/composite/sobjects", "referenceId": "many",
         "body": {"allOrNone": False, "records": [good, bad]}},
    ]  # fmt: skip
    _, body = await caller.call("POST", "composite", {"allOrNone": True, "compositeRequest": steps})
    one, many = body["compositeResponse"]
    assert (one["httpStatusCode"], one["body"][0]["errorCode"]) == (400, "PROCESSING_HALTED")
    assert [row["errors"][0]["statusCode"] for row in many["body"]] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING",
    ]  # fmt: skip
    assert await caller.query("SELECT Id FROM Account") == []
    _, body = await caller.call("POST", "composite", {"allOrNone": False, "compositeRequest": steps})
    assert [row["success"] for row in body["compositeResponse"][1]["body"]] == [True, False]
    assert len(await caller.query("SELECT Id FROM Account")) == 2
