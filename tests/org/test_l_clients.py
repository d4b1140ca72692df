"""Chapter L: calls that clients of other authors make, each with the client that makes it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.org.conftest import BASE, Caller
from tests.org.packages import package, text_field, xml


async def found(caller: Caller, sosl: str) -> list[str]:
    status, body = await caller.call("GET", f"search/?q={quote(sosl)}")
    assert status == 200, body
    return [row.get("Name") or row["attributes"]["type"] for row in body["searchRecords"]]


async def test_query_with_columns_serves_the_command_line(caller: Caller) -> None:
    """L17: Salesforce's command line asks for the columns of each query."""
    soql = "SELECT Id, name, Owner.Name, Account.Owner.Email, (SELECT Id FROM Orders) FROM Contract"
    body = (await caller.call("GET", f"query?q={quote(soql.replace('name,', 'Status,', 1))}&columns=true"))[1]
    result = {item["columnName"]: item for item in body["columnMetadata"]}
    assert list(result) == ["Id", "Status", "Owner", "Account", "Orders"]
    assert [item["columnName"] for item in result["Owner"]["joinColumns"]] == ["Name"]
    assert [item["columnName"] for item in result["Account"]["joinColumns"][0]["joinColumns"]] == ["Email"]
    assert (result["Orders"]["aggregate"], result["Owner"]["aggregate"], body["idSelected"]) == (True, False, True)
    grouped = quote("SELECT COUNT(Id) n, Type FROM Account GROUP BY Type")
    body = (await caller.call("GET", f"query?q={grouped}&columns=true"))[1]
    names = [(item["columnName"], item["aggregate"]) for item in body["columnMetadata"]]
    assert names == [("n", True), ("Type", False)]


async def test_explain_returns_a_query_plan(caller: Caller) -> None:
    """L17: jsforce: query plans."""
    body = (await caller.call("GET", f"query?explain={quote('SELECT Id FROM Account')}"))[1]
    assert body["plans"][0]["sobjectType"] == "Account"


@pytest.mark.parametrize("header", ["client=Mine, defaultNamespace=x", "client=Mine; defaultNamespace=x"])
async def test_call_options_are_split_by_comma_or_semicolon(caller: Caller, header: str) -> None:
    """L17."""
    headers = {"Sforce-Call-Options": header}
    assert (await caller.call("POST", "sobjects/Account", {"Name": "A"}, **headers))[0] == 201
    assert caller.org.org.hub.origin == "com/salesforce/api/rest/66.0;client=Mine"


async def test_search_finds_words_in_fields(caller: Caller) -> None:
    """L17: simple-salesforce and jsforce: search and quick search."""
    await caller.create("Account", Name="Acme Brothers", Phone="0221 5")
    await caller.create("Account", Name="Acmeology")
    await caller.create("Contact", LastName="Acme")
    assert await found(caller, "FIND {acme} IN ALL FIELDS RETURNING Account(Id, Name), Contact") == [
        "Acme Brothers", "Contact",
    ]  # fmt: skip
    assert await found(caller, "FIND {Acm*} RETURNING Account(Name ORDER BY Name DESC LIMIT 1)") == ["Acmeology"]
    where = "FIND {Acme* OR nobody} RETURNING Account(Name WHERE Phone != null)"
    assert await found(caller, where) == ["Acme Brothers"]
    assert await found(caller, "FIND {Acme AND NOT Brothers} RETURNING Account(Name)") == []
    assert await found(caller, 'FIND {"Acme Brothers"} IN NAME FIELDS RETURNING Account(Name)') == ["Acme Brothers"]
    body = (await caller.call("GET", "parameterizedSearch/?q=acme&sobject=Account&Account.fields=Name"))[1]
    assert [row["Name"] for row in body["searchRecords"]] == ["Acme Brothers"]
    expected = {"q": "acme", "sobjects": [{"name": "Account", "fields": ["Name"], "where": "Phone = null"}]}
    assert (await caller.call("POST", "parameterizedSearch", expected))[1] == {"searchRecords": []}


@pytest.mark.parametrize(
    ("sosl", "code"),
    [
        ("FIND Acme", "MALFORMED_SEARCH"),
        ("FIND {A}", "MALFORMED_SEARCH"),
        ("FIND {Acme} WITH DIVISION = 'x'", "MALFORMED_SEARCH"),
        ("FIND {Acme} RETURNING Account(Name", "MALFORMED_SEARCH"),
        ("FIND {Acme} RETURNING Nothing", "INVALID_TYPE"),
    ],
)
async def test_malformed_search_is_rejected(caller: Caller, sosl: str, code: str) -> None:
    """L17."""
    assert (await caller.refusal("GET", f"search?q={quote(sosl)}"))[:2] == (400, code)


async def test_unknown_field_of_a_search_is_rejected_if_a_row_matches(caller: Caller) -> None:
    """L17."""
    await caller.create("Account", Name="Acme")
    sosl = quote("FIND {Acme} RETURNING Account(Nothing)")
    assert (await caller.refusal("GET", f"search?q={sosl}"))[:2] == (400, "INVALID_FIELD")


async def test_ui_metadata_is_answered_with_defaults(caller: Caller) -> None:
    """L17: jsforce: layouts, list views, actions, tabs, themes of the objects."""
    empty: dict[str, Any] = {"tabs": [], "quickActions": [], "theme": {"themeItems": []}, "actions/custom": {}}
    for path, body in empty.items():
        assert await caller.call("GET", path) == (200, body)
    layouts = (await caller.call("GET", "sobjects/Order/describe/layouts"))[1]
    link = layouts["recordTypeMappings"][0]["urls"]["layout"]
    rows = (await caller.call("GET", link))[1]["detailLayoutSections"][0]["layoutRows"]
    result = {row["layoutItems"][0]["layoutComponents"][0]["value"] for row in rows}
    assert {"Status", "AccountId", "TotalAmount"} <= result
    assert (await caller.call("GET", "sobjects/Order/listviews"))[1]["listviews"] == []
    compact = (await caller.call("GET", "sobjects/Order/describe/compactLayouts"))[1]["compactLayouts"]
    assert [item["name"] for item in compact] == ["SYSTEM"]
    assert (await caller.call("GET", "sobjects/Nothing/describe/layouts"))[0] == 404
    for path, status, code in (
        ("chatter/users/me", 403, "FUNCTIONALITY_NOT_ENABLED"),
        ("ui-api/object-info/Account", 404, "NOT_FOUND"),
        ("/services/apexrest/mine", 404, "NOT_FOUND"),
    ):
        assert (await caller.refusal("GET", path))[:2] == (status, code)


async def test_recent_lists_the_records_written_last(caller: Caller) -> None:
    """L17: jsforce, nforce: recent."""
    await caller.create("Account", Name="Newest")
    body = (await caller.call("GET", "recent?limit=1"))[1]
    assert [(row["attributes"]["type"], row["Name"]) for row in body] == [("Account", "Newest")]


async def test_relationship_is_read_by_its_address(caller: Caller) -> None:
    """L17: nforce and generic REST clients: parents and children by their relationship."""
    account = await caller.create("Account", Name="Acme")
    contact = await caller.create("Contact", LastName="K", AccountId=account)
    assert (await caller.call("GET", f"sobjects/Contact/{contact}/Account?fields=Name"))[1]["Name"] == "Acme"
    children = (await caller.call("GET", f"sobjects/Account/{account}/Contacts"))[1]
    assert [row["LastName"] for row in children["records"]] == ["K"]
    assert (await caller.call("GET", f"sobjects/Account/{account}/Nothing"))[0] == 404
    alone = await caller.create("Contact", LastName="L")
    assert (await caller.call("GET", f"sobjects/Contact/{alone}/Account"))[0] == 404


async def test_place_order_creates_an_order_with_lines(caller: Caller) -> None:
    """L17: Place Order: records without reference IDs, numbers as text, field names in any case."""
    _, entry = await caller.priced_product()
    account, book = await caller.create("Account", Name="A"), await caller.standard_price_book()
    line = {"attributes": {"type": "OrderItem"}, "PricebookEntryId": entry, "quantity": "1", "UnitPrice": "15.99"}
    order = {"attributes": {"type": "Order"}, "EffectiveDate": "2026-01-05", "Status": "Draft",
             "accountId": account, "Pricebook2Id": book, "OrderItems": {"records": [line, line]}}  # fmt: skip
    status, body = await caller.call("POST", "commerce/sale/order", {"order": [order]})
    assert (status, body["totalSize"], body["records"][0]["OrderItems"]["totalSize"]) == (201, 1, 2)
    created = body["records"][0]["Id"]
    more = {"order": [{"Id": created, "OrderItems": {"records": [line]}}]}
    assert (await caller.call("PATCH", f"commerce/sale/order/{created}", more))[0] == 200
    assert (await caller.query("SELECT TotalAmount FROM Order"))[0]["TotalAmount"] == 47.97
    wrong = order | {"OrderItems": {"records": [line, line | {"PricebookEntryId": None}]}}
    assert (await caller.call("POST", "commerce/sale/order", {"order": [wrong]}))[0] == 400
    assert len(await caller.query("SELECT Id FROM Order")) == 1
    contract = {"AccountId": account, "StartDate": "2026-01-01", "ContractTerm": 12, "Status": "Draft"}
    placed = contract | {"Orders": {"records": []}}
    assert (await caller.call("POST", "commerce/sale", {"contract": [placed]}))[0] == 201


async def test_bulk_v1_content_type_is_plain_text_csv(caller: Caller) -> None:
    """L17: salesforce-bulk compares the content type literally."""
    url, headers = f"{caller.org.url}/services/async/60.0/job", {"X-SFDC-Session": caller.org.access_token}
    job = {"operation": "insert", "object": "Account", "contentType": "CSV"}
    async with caller.http.post(url, json=job, headers=headers) as answer:
        job_id = (await answer.json())["id"]
    csv = headers | {"Content-Type": "text/csv"}
    async with caller.http.post(f"{url}/{job_id}/batch", data=b"Name\nA\n", headers=csv) as answer:
        batch_id = (await answer.text()).partition("<id>")[2].partition("</id>")[0]
        assert answer.headers["Content-Type"] == "application/xml"
    for _ in range(100):
        async with caller.http.get(f"{url}/{job_id}/batch/{batch_id}/result", headers=headers) as answer:
            if answer.status == 200:
                break
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv")


async def test_limits_have_their_former_names_in_old_versions(caller: Caller) -> None:
    """L17: pipelinewise-tap-salesforce reads DailyBulkApiRequests with v41."""
    assert "DailyBulkApiRequests" in (await caller.call("GET", "/services/data/v41.0/limits"))[1]
    assert "DailyBulkApiRequests" not in (await caller.call("GET", "limits"))[1]


async def test_deployment_accepts_a_json_part_of_any_name(caller: Caller) -> None:
    """L17: jsforce and Salesforce's command line call it entity_content."""
    form = aiohttp.FormData()
    content = package({"objects/Account.object": xml("CustomObject", text_field("By_Js__c"))},
                      CustomField="Account.By_Js__c")  # fmt: skip
    form.add_field("file", content, content_type="application/zip", filename="package.xml")
    form.add_field("entity_content", json.dumps({"deployOptions": {}}), content_type="application/json")
    url = f"{caller.org.url}{BASE}/metadata/deployRequest"
    headers = {"Authorization": f"Bearer {caller.org.access_token}"}
    async with caller.http.post(url, data=form, headers=headers) as answer:
        assert answer.status == 201


async def test_frontdoor_opens_the_pages_with_a_session(caller: Caller) -> None:
    """L17: Salesforce's command line: `sf org open`."""
    url, headers = caller.org.url, {"Authorization": f"Bearer {caller.org.access_token}"}
    async with caller.http.post(f"{url}/services/oauth2/singleaccess", headers=headers) as answer:
        assert (await answer.json())["frontdoor_uri"].startswith(f"{url}/?key=")
    door = f"{url}/secur/frontdoor.jsp"
    async with caller.http.get(door, params={"sid": caller.org.access_token}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
    async with caller.http.get(door, params={"sid": "00D!no"}, allow_redirects=False) as answer:
        assert answer.status == 403
