"""The calls of our client: one outcome per record in the sequence sent, all pages read, refusals with a reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from connector.errors import RefusedError, RetryClass, TransportError
from connector.localorg.server import LocalOrg
from connector.salesforce.client import SalesforceClient
from connector.salesforce.composite import SubRequest
from connector.salesforce.fault import classify_row
from connector.salesforce.graph import Graph, Node
from connector.salesforce.query import in_chunks


def accounts(*names: str) -> list[dict[str, Any]]:
    return [{"External_Key__c": f"K-{name[:20]}", "Name": name} for name in names]


async def test_upsert_returns_one_outcome_per_row_in_order(client: SalesforceClient) -> None:
    first = await client.collections_upsert("Account", "External_Key__c", accounts("a", "x" * 300, "b"))
    assert [outcome.success for outcome in first] == [True, False, True]
    assert (first[0].created, len(first[0].id or "")) == (True, 18)
    [error] = first[1].errors
    assert (error.code, error.fields) == ("STRING_TOO_LONG", ("Name",))
    assert classify_row(error).retry_class is RetryClass.DATA
    second = await client.collections_upsert("Account", "External_Key__c", accounts("b", "a"))
    assert [(outcome.id, outcome.created) for outcome in second] == [(first[2].id, False), (first[0].id, False)]


async def test_outcomes_of_an_update_of_mixed_types_keep_their_order(client: SalesforceClient) -> None:
    [one, two] = await client.collections_create("Account", [{"Name": "one"}, {"Name": "two"}])
    [tea] = await client.collections_create("Product2", [{"Name": "tea"}])
    assert one.id
    assert two.id
    assert tea.id
    outcomes = await client.collections_update(
        [
            ("Account", one.id, {"Name": "uno"}),
            ("Product2", tea.id, {"Name": "té"}),
            ("Account", two.id, {"Nam": "due"}),
            ("Account", "001000000000000AAA", {"Name": "nobody"}),
        ]
    )
    assert [outcome.success for outcome in outcomes] == [True, True, False, False]
    assert outcomes[3].errors[0].code in {"NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED"}
    rows = await client.query("SELECT Name FROM Account ORDER BY Name")
    assert [row["Name"] for row in rows] == ["two", "uno"]


async def test_collection_of_200_rows_is_sent_and_of_201_is_rejected(client: SalesforceClient) -> None:
    rows = accounts(*(str(number) for number in range(200)))
    assert all(outcome.success for outcome in await client.collections_upsert("Account", "External_Key__c", rows))
    with pytest.raises(ValueError, match="200 is the most"):
        await client.collections_upsert("Account", "External_Key__c", accounts(*map(str, range(201))))


async def test_query_reads_every_page_with_exact_fractions(client: SalesforceClient) -> None:
    for start in range(0, 2_100, 200):
        rows = [{"Name": f"P{number:05}"} for number in range(start, min(start + 200, 2_100))]
        await client.collections_create("Product2", rows)
    pages = [len(page) async for page in client.query_pages("SELECT Id, Name FROM Product2 ORDER BY Name")]
    assert (len(pages) > 1, sum(pages)) == (True, 2_100)
    found = await client.query("SELECT Name FROM Product2 ORDER BY Name")
    assert [row["Name"] for row in found] == [f"P{number:05}" for number in range(2_100)]


async def test_fraction_keeps_every_digit(client: SalesforceClient) -> None:
    [account] = await client.collections_create("Account", [{"Name": "A", "BillingLatitude": Decimal("48.135125")}])
    [row] = await client.query(f"SELECT BillingLatitude FROM Account WHERE Id = '{account.id}'")
    assert row["BillingLatitude"] == Decimal("48.135125")


async def test_query_too_long_for_a_url_is_answered(org: LocalOrg, client: SalesforceClient) -> None:
    await client.collections_upsert("Account", "External_Key__c", accounts("a", "b"))
    keys = [f"K-{number:060}" for number in range(500)] + ["K-a", "K-b"]
    quoted = ",".join(f"'{key}'" for key in keys)
    found = await client.query(f"SELECT Name FROM Account WHERE External_Key__c IN ({quoted}) ORDER BY Name")
    assert [row["Name"] for row in found] == ["a", "b"]
    template = "SELECT Name FROM Account WHERE External_Key__c IN {values}"
    queries = list(in_chunks(template, keys))
    assert len(queries) > 1
    assert sum([len(await client.query(query)) for query in queries]) == 2


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Nothing__c FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nothing__c", "INVALID_TYPE"),
        ("SELECT Id FORM Account", "MALFORMED_QUERY"),
    ],
)
async def test_refused_query_reports_the_reason(client: SalesforceClient, soql: str, code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        await client.query(soql)
    assert (refused.value.code, refused.value.status) == (code, 400)


async def test_describes_and_queries_are_batched_in_one_call(org: LocalOrg, client: SalesforceClient) -> None:
    await client.connect()
    before = org.org.usage.calls
    describes, results = await client.describe_many(
        ["Account", "Order", "Nothing__c"], ["SELECT Id FROM Organization", "SELECT Id FROM Nothing__c"]
    )
    assert org.org.usage.calls - before == 1
    assert set(describes) == {"Account", "Order"}
    assert describes["Order"].fields["Status"].restricted_picklist
    rows, refused = results
    assert isinstance(rows, list)
    assert len(rows) == 1
    assert isinstance(refused, RefusedError)
    assert refused.code == "INVALID_TYPE"


def order_graph(graph_id: str, account: str, book: str, **order: Any) -> Graph:
    return Graph(
        graph_id=graph_id,
        nodes=[
            Node(
                reference="account", method="PATCH", sobject="Account", external_id=("External_Key__c", account),
                body={"Name": account},
            ),
            Node(
                reference="order", method="PATCH", sobject="Order", external_id=("External_Key__c", graph_id),
                body={"AccountId": "@{account.id}", "Pricebook2Id": book, "EffectiveDate": "2026-01-05", **order},
            ),
        ],
    )  # fmt: skip


async def test_graph_is_saved_completely_or_not_at_all(client: SalesforceClient) -> None:
    [book] = await client.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
    good, bad, other = await client.graph(
        [
            order_graph("G1", "First", book["Id"], Status="Draft"),
            order_graph("G2", "Second", book["Id"], Status="Activated"),
            order_graph("G3", "Third", book["Id"], Status="Draft"),
        ]
    )
    assert (good.success, bad.success, other.success) == (True, False, True)
    assert {name: node.created for name, node in good.nodes.items()} == {"account": True, "order": True}
    assert bad.nodes["account"].success is False
    assert bad.errors[0].code not in {"", "PROCESSING_HALTED"}
    names = await client.query("SELECT Name FROM Account ORDER BY Name")
    assert [row["Name"] for row in names] == ["First", "Third"]
    again = await client.graph([order_graph("G1", "First", book["Id"])])
    assert again[0].nodes["order"].created is False


async def test_failed_composite_is_rolled_back_completely(client: SalesforceClient) -> None:
    make = SubRequest(reference="make", method="POST", path="sobjects/Account", body={"Name": "made"})
    fail = SubRequest(reference="fail", method="POST", path="sobjects/Account", body={})
    undone, failed = await client.composite([make, fail], all_or_none=True, collate=False)
    assert (undone.success, undone.rolled_back) == (False, True)
    assert (failed.success, failed.rolled_back) == (False, False)
    assert failed.outcome.errors[0].code == "REQUIRED_FIELD_MISSING"
    made, _ = await client.composite([make, fail], all_or_none=False, collate=False)
    assert made.success
    assert len(await client.query("SELECT Id FROM Account")) == 1


Call = Callable[[SalesforceClient], Awaitable[object]]
UPSERT: Call = lambda client: client.collections_upsert("Account", "External_Key__c", accounts("a"))  # noqa: E731
CREATE: Call = lambda client: client.collections_create("Account", [{"Name": "a"}])  # noqa: E731


@pytest.mark.parametrize("fault", ["status_count", "reset", "lost_response", "row_lock"])
async def test_idempotent_call_is_retried_after_a_temporary_fault(
    org: LocalOrg, client: SalesforceClient, fault: str
) -> None:
    await client.connect()
    setattr(org.org.faults, fault, 1)
    await UPSERT(client)
    if fault == "row_lock":
        await UPSERT(client)  # a locked row is an outcome of its record; the caller sends it again
    assert len(await client.query("SELECT Id FROM Account")) == 1


async def test_create_with_unknown_outcome_is_not_repeated(org: LocalOrg, client: SalesforceClient) -> None:
    await client.connect()
    org.org.faults.lost_response = 1
    with pytest.raises(TransportError):
        await CREATE(client)
    assert len(await client.query("SELECT Id FROM Account")) == 1


async def test_api_usage_equals_the_count_of_the_org(org: LocalOrg, client: SalesforceClient) -> None:
    await UPSERT(client)
    await client.query("SELECT Id FROM Account")
    assert client.usage is not None
    assert client.usage.used == org.org.usage.calls == client.calls_made.writes + client.calls_made.reads == 2
