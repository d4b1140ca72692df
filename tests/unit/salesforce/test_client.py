"""The calls of the client: the requests, the retries, the results."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import Any

import httpx
import httpx2
import pytest
import respx

from connector.errors import RefusedError, RetryClass, TransportError
from connector.salesforce.client import SalesforceClient
from connector.salesforce.composite import SubRequest
from connector.salesforce.graph import Graph, Node
from connector.salesforce.query import soql
from connector.salesforce.transport import encode_body
from connector.salesforce.usage import CallCounts, Usage
from tests.unit.salesforce.conftest import BASE, INSTANCE, OwnClock, TokenEndpoint

QUERY = f"{BASE}/query"
UPSERT = f"{BASE}/composite/sobjects/Order/External_Key__c"
SAVED = {"id": "801xx0000000001AAA", "success": True, "errors": []}
LOCKED = [{"errorCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain exclusive access to this record"}]


def page(*rows: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"totalSize": len(rows), "done": following is None, "records": list(rows)}
    return body if following is None else body | {"nextRecordsUrl": following}


async def test_upsert_sends_every_digit_and_returns_outcomes_in_order(
    client: SalesforceClient, org: respx.Router
) -> None:
    refused = {
        "success": False,
        "errors": [{"statusCode": "STRING_TOO_LONG", "message": "too long", "fields": ["PoNumber"]}],
    }
    route = org.patch(UPSERT).respond(json=[SAVED | {"created": True}, refused])
    records = [
        {"External_Key__c": "1", "Freight__c": Decimal("9.80"), "Notes__c": None},
        {"External_Key__c": "2", "Freight__c": Decimal("12345678901234.5678")},
    ]
    first, second = await client.collections_upsert("Order", "External_Key__c", records)
    request = route.calls.last.request
    assert b'"Freight__c":9.80,' in request.content
    assert b"12345678901234.5678" in request.content
    assert json.loads(request.content) == {
        "allOrNone": False,
        "records": [
            {"attributes": {"type": "Order"}, "External_Key__c": "1", "Freight__c": 9.8, "Notes__c": None},
            {"attributes": {"type": "Order"}, "External_Key__c": "2", "Freight__c": 12345678901234.5678},
        ],
    }
    assert request.headers["Sforce-Call-Options"].startswith("client=crm-connector/")
    assert request.headers["Sforce-Auto-Assign"] == "FALSE"
    assert request.headers["Content-Type"] == "application/json"
    assert (first.success, first.id, first.created) == (True, "801xx0000000001AAA", True)
    assert (second.success, second.errors[0].code, second.errors[0].fields) == (False, "STRING_TOO_LONG", ("PoNumber",))


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("Infinity")])
def test_number_that_json_cannot_represent_is_not_sent(amount: Decimal) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        encode_body({"x": amount})


async def test_retry_after_header_delays_the_next_attempt(
    client: SalesforceClient, org: respx.Router, clock: OwnClock
) -> None:
    org.patch(UPSERT).mock(
        side_effect=[
            httpx.Response(503, headers={"Retry-After": "7"}, text="<html>busy</html>"),
            httpx.Response(503, headers={"Retry-After": "Sat, 31 Jan 2026 10:00:17 GMT"}),
            httpx.Response(200, json=[SAVED]),
        ]
    )
    [outcome] = await client.collections_upsert("Order", "External_Key__c", [{"External_Key__c": "1"}])
    assert outcome.success
    assert clock.slept == [7.0, 10.0]
    assert client.calls_made == CallCounts(reads=0, writes=3)


async def test_retry_after_of_an_hour_is_raised_to_the_caller(
    client: SalesforceClient, org: respx.Router, clock: OwnClock
) -> None:
    org.get(url__startswith=QUERY).respond(503, headers={"Retry-After": "3600"})
    with pytest.raises(TransportError):
        await client.query("SELECT Id FROM Order")
    assert clock.slept == []


async def test_delay_doubles_and_attempts_are_limited(
    client: SalesforceClient, org: respx.Router, clock: OwnClock
) -> None:
    route = org.patch(UPSERT).respond(400, json=LOCKED)
    with pytest.raises(RefusedError) as caught:
        await client.collections_upsert("Order", "External_Key__c", [{"External_Key__c": "1"}])
    assert caught.value.retry_class is RetryClass.ROW_LOCK
    assert route.call_count == 4
    assert clock.slept == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("lost", [httpx2.ReadTimeout("slow"), httpx2.RemoteProtocolError("cut"), httpx2.ReadError("x")])
async def test_upsert_with_a_lost_response_is_repeated(
    client: SalesforceClient, org: respx.Router, lost: Exception
) -> None:
    route = org.patch(UPSERT).mock(side_effect=[lost, httpx.Response(200, json=[SAVED | {"created": False}])])
    [outcome] = await client.collections_upsert("Order", "External_Key__c", [{"External_Key__c": "1"}])
    assert outcome.created is False
    assert route.call_count == 2


@pytest.mark.parametrize(
    "answer", [httpx2.ReadTimeout("slow"), httpx.Response(500, text="<html/>"), httpx.Response(200, text="[{")]
)
async def test_create_with_unknown_outcome_is_not_repeated(
    client: SalesforceClient, org: respx.Router, answer: Any
) -> None:
    route = org.post(f"{BASE}/composite/sobjects").mock(side_effect=[answer, httpx.Response(200, json=[SAVED])])
    with pytest.raises(TransportError):
        await client.collections_create("PricebookEntry", [{"UnitPrice": Decimal(1)}])
    assert route.call_count == 1


@pytest.mark.parametrize("answer", [httpx2.ConnectError("no"), httpx.Response(400, json=LOCKED)])
async def test_create_that_did_not_reach_the_org_is_repeated(
    client: SalesforceClient, org: respx.Router, answer: Any
) -> None:
    org.post(f"{BASE}/composite/sobjects").mock(side_effect=[answer, httpx.Response(200, json=[SAVED])])
    [outcome] = await client.collections_create("PricebookEntry", [{"UnitPrice": Decimal(1)}])
    assert outcome.success


async def test_response_with_too_few_rows_is_rejected(client: SalesforceClient, org: respx.Router) -> None:
    org.patch(UPSERT).respond(json=[])
    with pytest.raises(TransportError, match="could not be read"):
        await client.collections_upsert("Order", "External_Key__c", [{"External_Key__c": "1"}])


async def test_daily_request_limit_ends_the_attempts(
    client: SalesforceClient, org: respx.Router, clock: OwnClock
) -> None:
    body = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    org.get(url__startswith=QUERY).respond(403, json=body)
    with pytest.raises(RefusedError) as caught:
        await client.query("SELECT Id FROM Order")
    assert (caught.value.retry_class, caught.value.status, clock.slept) == (RetryClass.LIMIT, 403, [])


async def test_html_response_is_classified_and_not_quoted_in_the_message(
    client: SalesforceClient, org: respx.Router
) -> None:
    org.get(url__startswith=QUERY).respond(503, html="<html>maintenance</html>")
    with pytest.raises(TransportError) as caught:
        await client.query("SELECT Id FROM Order")
    assert "html" not in str(caught.value)
    assert caught.value.retry_class is RetryClass.TRANSIENT


async def test_redirect_is_not_followed(client: SalesforceClient, org: respx.Router) -> None:
    org.get(url__startswith=QUERY).respond(302, headers={"Location": "https://evil.example/"})
    with pytest.raises(RefusedError, match="another address"):
        await client.query("SELECT Id FROM Order")
    assert {call.request.url.host for call in org.calls} == {"acme.my.salesforce.com"}


async def test_api_usage_and_gzip_response_are_read(client: SalesforceClient, org: respx.Router) -> None:
    org.get(url__startswith=QUERY).respond(
        headers={
            "Sforce-Limit-Info": "api-usage=18/15000; per-app-api-usage=17/250(appName=x)",
            "Content-Encoding": "gzip",
            "Content-Type": "application/json;charset=UTF-8",
        },
        content=gzip.compress(json.dumps(page({"Id": "801"})).encode()),
    )
    assert client.usage is None
    assert await client.query("SELECT Id FROM Order") == [{"Id": "801"}]
    assert client.usage == Usage(used=18, allowed=15000)
    assert client.calls_made == CallCounts(reads=1, writes=0)
    assert org.calls.last.request.headers["Accept-Encoding"] == "gzip"


async def test_query_reads_all_pages_and_keeps_every_digit(client: SalesforceClient, org: respx.Router) -> None:
    following = "/services/data/v66.0/query/01gxx0000000001AAA-2000"
    row = {
        "attributes": {"type": "Order", "url": "/x"},
        "Id": "1",
        "TotalAmount": 9.8,
        "Account": {"attributes": {"type": "Account", "url": "/y"}, "Name": "Acme"},
    }
    org.get(f"{INSTANCE}{following}").respond(json=page({"Id": "2"}))
    first = org.get(url__startswith=f"{QUERY}/?").respond(json=page(row, following=following))
    rows = await client.query("SELECT Id FROM Order WHERE X > 2026-01-31T10:00:00+00:00")
    assert rows == [{"Id": "1", "TotalAmount": Decimal("9.8"), "Account": {"Name": "Acme"}}, {"Id": "2"}]
    assert isinstance(rows[0]["TotalAmount"], Decimal)
    assert b"%2B00%3A00" in first.calls.last.request.url.raw_path


async def test_query_too_long_for_a_url_is_sent_by_composite(client: SalesforceClient, org: respx.Router) -> None:
    answer = {"body": page({"Id": "1"}), "httpHeaders": {}, "httpStatusCode": 200, "referenceId": "query"}
    org.post(f"{BASE}/composite").respond(json={"compositeResponse": [answer]})
    assert await client.query(soql("SELECT Id FROM Order WHERE Name = {name}", name="x" * 20_000)) == [{"Id": "1"}]
    assert client.calls_made == CallCounts(reads=1, writes=0)


async def test_update_of_mixed_types_is_sorted_and_outcomes_come_back_in_order(
    client: SalesforceClient, org: respx.Router
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        rows = json.loads(request.content)["records"]
        assert [row["attributes"]["type"] for row in rows] == ["Order", "Order", "Account"]
        return httpx.Response(200, json=[{"id": row["id"], "success": True, "errors": []} for row in rows])

    org.patch(f"{BASE}/composite/sobjects").mock(side_effect=answer)
    rows = [("Order", "a", {"Status": "Activated"}), ("Account", "b", {"Name": "x"}), ("Order", "c", {"Status": "x"})]
    assert [outcome.id for outcome in await client.collections_update(rows)] == ["a", "b", "c"]


async def test_collection_with_too_many_records_is_rejected_before_the_call(client: SalesforceClient) -> None:
    with pytest.raises(ValueError, match="200"):
        await client.collections_upsert("Order", "K__c", [{"K__c": str(number)} for number in range(201)])
    with pytest.raises(ValueError, match="10"):
        await client.collections_update([(f"T{number}__c", "a", {}) for number in range(11)])
    assert await client.collections_upsert("Order", "K__c", []) == []
    assert client.calls_made == CallCounts(0, 0)


async def test_graph_is_repeated_if_it_holds_upserts_only(client: SalesforceClient, org: respx.Router) -> None:
    route = org.post(f"{BASE}/composite/graph").mock(side_effect=httpx2.ReadTimeout("slow"))
    upsert = Node(reference="o", method="PATCH", sobject="Order", external_id=("K__c", "1"))
    create = Node(reference="o", method="POST", sobject="Order")
    with pytest.raises(TransportError):
        await client.graph([Graph(graph_id="1", nodes=[upsert])])
    assert route.call_count == 4
    with pytest.raises(TransportError):
        await client.graph([Graph(graph_id="1", nodes=[create])])
    assert route.call_count == 5


async def test_composite_sends_subrequests_in_strict_order(client: SalesforceClient, org: respx.Router) -> None:
    route = org.post(f"{BASE}/composite").respond(
        json={
            "compositeResponse": [
                {"body": None, "httpHeaders": {}, "httpStatusCode": 204, "referenceId": "draft"},
                {"body": None, "httpHeaders": {}, "httpStatusCode": 204, "referenceId": "line"},
            ]
        }
    )
    outcomes = await client.composite(
        [
            SubRequest(reference="draft", method="PATCH", path="sobjects/Order/801", body={"Status": "Draft"}),
            SubRequest(reference="line", method="DELETE", path="sobjects/OrderItem/802"),
        ],
        all_or_none=True,
        collate=False,
    )
    assert [outcome.success for outcome in outcomes] == [True, True]
    sent = json.loads(route.calls.last.request.content)
    assert (sent["allOrNone"], sent["collateSubrequests"]) == (True, False)
    assert sent["compositeRequest"][0] == {
        "method": "PATCH",
        "url": "/services/data/v66.0/sobjects/Order/801",
        "referenceId": "draft",
        "body": {"Status": "Draft"},
    }
    assert "body" not in sent["compositeRequest"][1]


DESCRIBE = {
    "name": "Order",
    "label": "Order",
    "createable": True,
    "updateable": True,
    "fields": [
        {
            "name": "Status",
            "label": "Status",
            "type": "picklist",
            "length": 255,
            "nillable": False,
            "createable": True,
            "updateable": True,
            "defaultedOnCreate": False,
            "restrictedPicklist": True,
            "picklistValues": [{"value": "Draft", "active": True}, {"value": "Old", "active": False}],
            "referenceTo": [],
        }
    ],
}
NO_OBJECT = [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]


def part(reference: str, status: int, body: Any) -> dict[str, Any]:
    return {"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": reference}


async def test_describes_and_queries_are_batched_in_one_call(client: SalesforceClient, org: respx.Router) -> None:
    bad = [{"errorCode": "INVALID_FIELD", "message": "No such column 'X'"}]
    org.post(f"{BASE}/composite").respond(
        json={
            "compositeResponse": [
                part("d0", 200, DESCRIBE),
                part("d1", 404, NO_OBJECT),
                part("q0", 200, page({"attributes": {}, "StatusCode": "Draft"})),
                part("q1", 400, bad),
            ]
        }
    )
    describes, results = await client.describe_many(["Order", "ReturnOrder"], ["SELECT a FROM B", "SELECT X FROM B"])
    assert list(describes) == ["Order"]
    status = describes["Order"].fields["Status"]
    assert (status.picklist, status.required_on_create) == (("Draft",), True)
    assert results[0] == [{"StatusCode": "Draft"}]
    assert isinstance(results[1], RefusedError)
    assert results[1].code == "INVALID_FIELD"
    assert client.calls_made == CallCounts(reads=1, writes=0)


async def test_subrequest_that_composite_does_not_support_is_sent_by_itself(
    client: SalesforceClient, org: respx.Router
) -> None:
    unsupported = [{"errorCode": "METHOD_NOT_ALLOWED", "message": "not supported in composite"}]
    org.post(f"{BASE}/composite").respond(
        json={"compositeResponse": [part("d0", 400, unsupported), part("q0", 400, unsupported)]}
    )
    org.get(f"{BASE}/sobjects/Order/describe").respond(json=DESCRIBE)
    org.get(url__startswith=QUERY).respond(json=page({"Id": "1"}))
    describes, results = await client.describe_many(["Order"], ["SELECT Id FROM B"])
    assert list(describes) == ["Order"]
    assert results == [[{"Id": "1"}]]


async def test_simple_salesforce_client_uses_our_token_and_base_url(
    client: SalesforceClient, endpoint: TokenEndpoint
) -> None:
    endpoint.instance_url = endpoint.url
    with pytest.raises(RefusedError) as caught:  # the test server has no /limits; the test needs any answer
        await client.control.run(lambda salesforce: salesforce.limits())
    assert caught.value.status == 404
    assert client.calls_made == CallCounts(reads=1, writes=0)
