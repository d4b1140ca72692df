"""Graphs and composites: the request bodies, and the causes of a failed graph."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.salesforce.composite import SubRequest, composite_body, read_composite
from connector.salesforce.graph import Graph, Node, graph_body, read_graphs, row_path

HALTED = {
    "errorCode": "PROCESSING_HALTED",
    "message": "The transaction was rolled back since another operation in the same transaction failed.",
}
DUPLICATE = {
    "errorCode": "DUPLICATE_VALUE",
    "fields": [],
    "message": "duplicate value found: Name duplicates value on record with id: 001xx0000000001",
}


def node(reference: str, **changes: Any) -> Node:
    return Node(reference=reference, method="PATCH", sobject="Order", external_id=("Key__c", reference), **changes)


def answer(graph_id: str, success: bool, **nodes: tuple[int, Any]) -> dict[str, Any]:
    parts = [
        {"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": reference}
        for reference, (status, body) in nodes.items()
    ]
    return {"graphId": graph_id, "graphResponse": {"compositeResponse": parts}, "isSuccessful": success}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("A/1+2%3?x#y", "sobjects/Order/Key__c/A%2F1%2B2%253%3Fx%23y"),
        ("Müller & Söhne", "sobjects/Order/Key__c/M%C3%BCller%20%26%20S%C3%B6hne"),
        ("10248-1", "sobjects/Order/Key__c/10248-1"),
        ("..", "sobjects/Order/Key__c/%2E%2E"),
    ],
)
def test_key_in_a_graph_url_is_percent_encoded(value: str, path: str) -> None:
    assert row_path("Order", external_id=("Key__c", value)) == path


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_key_cannot_leave_its_path_segment(value: str) -> None:
    assert not set(row_path("Order", external_id=("Key__c", value)).split("/", 3)[3]) & set("/+?# ")


def test_empty_key_is_rejected() -> None:
    with pytest.raises(ValueError, match="empty key"):
        row_path("Order", external_id=("Key__c", ""))


def test_key_field_of_an_upsert_is_not_in_the_body() -> None:
    order = node("order", body={"Key__c": "order", "Status": "Draft"})
    line = Node(reference="line", method="POST", sobject="OrderItem", body={"OrderId": "@{order.id}", "Key__c": "x"})
    update = Node(reference="acct", method="PATCH", sobject="Account", id="001xx0000000001AAA", body={"Name": "Acme"})
    [graph] = graph_body([Graph(graph_id="1", nodes=[order, line, update])], version="66.0")["graphs"]
    assert graph == {
        "graphId": "1",
        "compositeRequest": [
            {
                "method": "PATCH",
                "url": "/services/data/v66.0/sobjects/Order/Key__c/order",
                "referenceId": "order",
                "body": {"Status": "Draft"},
            },
            {
                "method": "POST",
                "url": "/services/data/v66.0/sobjects/OrderItem",
                "referenceId": "line",
                "body": {"OrderId": "@{order.id}", "Key__c": "x"},
            },
            {
                "method": "PATCH",
                "url": "/services/data/v66.0/sobjects/Account/001xx0000000001AAA",
                "referenceId": "acct",
                "body": {"Name": "Acme"},
            },
        ],
    }


@pytest.mark.parametrize(
    ("graphs", "words"),
    [
        ([Graph(graph_id=f"g{n}", nodes=[node("a")]) for n in range(76)], "76 graphs"),
        ([Graph(graph_id="1", nodes=[node(f"n{n}") for n in range(501)])], "501 nodes"),
        ([Graph(graph_id="1", nodes=[]), Graph(graph_id="1", nodes=[])], "same graph_id"),
        ([Graph(graph_id="a.b", nodes=[])], "no period"),
        ([Graph(graph_id="x" * 40, nodes=[])], "under 40"),
        ([Graph(graph_id="1", nodes=[node("a"), node("a")])], "unique"),
        ([Graph(graph_id="1", nodes=[node("a-1")])], "unique"),
    ],
)
def test_graph_that_exceeds_the_limits_of_the_org_is_not_sent(graphs: list[Graph], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        graph_body(graphs, version="66.0")


def test_successful_graph_returns_the_id_of_each_node() -> None:
    graph = Graph(
        graph_id="1",
        nodes=[node("order"), Node(reference="acct", method="PATCH", sobject="Account", id="001xx0000000001AAA")],
    )
    saved = {"id": "801xx0000000001AAA", "success": True, "errors": [], "created": True}
    body = {"graphs": [answer("1", True, order=(201, saved), acct=(204, None))]}
    [outcome] = read_graphs(body, [graph])
    assert outcome.success
    assert (outcome.nodes["order"].id, outcome.nodes["order"].created) == ("801xx0000000001AAA", True)
    assert outcome.nodes["acct"].id == "001xx0000000001AAA"


def test_failed_graph_separates_causes_from_rolled_back_nodes() -> None:
    graph = Graph(graph_id="1", nodes=[node("account"), node("order"), node("line")])
    body = {"graphs": [answer("1", False, account=(400, [HALTED]), order=(400, [DUPLICATE]), line=(400, [HALTED]))]}
    [outcome] = read_graphs(body, [graph])
    assert (outcome.success, outcome.halted, outcome.causes) == (False, False, ("order",))
    assert [error.code for error in outcome.errors] == ["DUPLICATE_VALUE"]
    assert not outcome.nodes["account"].success


def test_graph_that_was_not_processed_or_has_no_answer_is_halted() -> None:
    graphs = [Graph(graph_id=name, nodes=[node("order"), node("line")]) for name in ("1", "2", "3")]
    body = {
        "graphs": [
            answer("2", False, order=(400, [HALTED]), line=(400, [HALTED])),
            answer("1", False, order=(400, [DUPLICATE]), line=(400, [HALTED])),
        ]
    }
    assert [(outcome.graph_id, outcome.halted) for outcome in read_graphs(body, graphs)] == [
        ("1", False),
        ("2", True),
        ("3", True),
    ]


def test_invalid_reference_counts_as_the_cause() -> None:
    wrong = {"errorCode": "PROCESSING_HALTED", "message": "Invalid reference specified. No value for x.id found in x"}
    graph = Graph(graph_id="1", nodes=[node("order"), node("line")])
    [outcome] = read_graphs({"graphs": [answer("1", False, order=(400, [HALTED]), line=(400, [wrong]))]}, [graph])
    assert (outcome.halted, outcome.causes) == (False, ("line",))


def test_successful_node_of_a_failed_graph_counts_as_rolled_back() -> None:
    graph = Graph(graph_id="1", nodes=[node("order"), node("line")])
    saved = {"id": "801", "success": True, "errors": []}
    [outcome] = read_graphs({"graphs": [answer("1", False, order=(201, saved), line=(400, [DUPLICATE]))]}, [graph])
    assert not outcome.nodes["order"].success
    assert outcome.causes == ("line",)


def test_key_that_matches_several_records_is_an_error() -> None:
    graph = Graph(graph_id="1", nodes=[node("order")])
    [outcome] = read_graphs({"graphs": [answer("1", False, order=(300, ["/x/1", "/x/2"]))]}, [graph])
    assert outcome.errors[0].code == "DUPLICATE_EXTERNAL_ID"


def test_records_of_a_rolled_back_composite_count_as_not_saved() -> None:
    requests = [
        SubRequest(reference="rows", method="PATCH", path="composite/sobjects", body={"records": []}),
        SubRequest(reference="order", method="PATCH", path="sobjects/Order/801", body={}),
    ]
    body = {
        "compositeResponse": [
            {"body": [{"id": "802", "success": True, "errors": []}], "httpStatusCode": 200, "referenceId": "rows"},
            {"body": [DUPLICATE], "httpStatusCode": 400, "referenceId": "order"},
        ]
    }
    rows, order = read_composite(body, requests, all_or_none=True)
    assert (rows.success, rows.rows[0].success, rows.rolled_back) == (False, False, True)
    assert (order.success, order.rolled_back) == (False, False)
    kept, _ = read_composite(body, requests, all_or_none=False)
    assert (kept.success, kept.rows[0].success) == (True, True)


def test_composite_with_too_many_queries_is_not_sent() -> None:
    queries = [SubRequest(reference=f"q{n}", method="GET", path="query/?q=x") for n in range(6)]
    with pytest.raises(ValueError, match="6 of them queries"):
        composite_body(queries, version="66.0", all_or_none=False, collate=True)
