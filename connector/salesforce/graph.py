"""Composite graphs: small transactions that share a call.

A graph guarantees no order except that of its references: a node that must come after another one refers to it in its
body with `@{reference.id}`. Each graph is saved completely or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from connector.model.outcome import Outcome, RowError
from connector.salesforce.collections import read_outcome
from connector.salesforce.errors import read_errors
from connector.salesforce.fault import TABLE
from connector.salesforce.limits import GRAPH_ID_LENGTH, GRAPHS_PER_CALL, NODE_KINDS_PER_CALL, NODES_PER_CALL

_GRAPH_ID = re.compile(rf"[A-Za-z0-9][^.]{{0,{GRAPH_ID_LENGTH - 1}}}")
_REFERENCE = re.compile(r"\w+", re.ASCII)
_BAD_REFERENCE = "invalid reference"
_ROLLED_BACK = RowError(
    code="PROCESSING_HALTED",
    message="The transaction was rolled back since another operation in the same transaction failed.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One write: an upsert by `external_id` (field, value), an update by `id`, a create with neither.

    `body` may contain `@{reference.id}` of another node of the graph. The key field is left out when sending, because
    an upsert must not repeat it in its body (REST API Developer Guide, "Insert or Update (Upsert) a Record Using an
    External ID").
    """

    reference: str
    method: str
    sobject: str
    body: Mapping[str, object] = field(default_factory=dict)
    external_id: tuple[str, str] | None = None
    id: str | None = None

    @property
    def repeatable(self) -> bool:
        """Whether executing it twice has the same effect as once."""
        return self.method == "PATCH"


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """`graph_id` is unique in its call: starts alphanumeric, under 40 characters, no period."""

    graph_id: str
    nodes: Sequence[Node]


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphOutcome:
    """`nodes` by reference. If not `success`, nothing was saved: `causes` are the references that were refused, and the
    rest were rolled back with them. `halted`: the org did not execute this graph because 14 others had failed; send
    it again."""

    graph_id: str
    success: bool
    nodes: Mapping[str, Outcome]
    causes: tuple[str, ...] = ()
    halted: bool = False

    @property
    def errors(self) -> tuple[RowError, ...]:
        """The errors of the nodes that were refused."""
        return tuple(error for reference in self.causes for error in self.nodes[reference].errors)


def row_path(sobject: str, *, external_id: tuple[str, str] | None = None, id: str | None = None) -> str:  # noqa: A002
    """`sobjects/…` of one row, the key percent-encoded whole (`/ + % ? #`, spaces, non-ASCII).

    ValueError for an empty key: that address is another resource.
    """
    if external_id is None:
        return f"sobjects/{sobject}" if id is None else f"sobjects/{sobject}/{quote(id, safe='')}"
    name, value = external_id
    if not value:
        raise ValueError(f"{sobject}.{name}: an empty key cannot be upserted")
    # quote() leaves periods; a segment of nothing else would be resolved as a path.
    encoded = value.replace(".", "%2E") if set(value) == {"."} else quote(value, safe="")
    return f"sobjects/{sobject}/{name}/{encoded}"


def row_body(body: Mapping[str, object], external_id: tuple[str, str] | None) -> Mapping[str, object]:
    """`body` as a single-row call accepts it: without the key field and the ID, which are in the address."""
    key = external_id[0] if external_id else None
    if key not in body and "Id" not in body:
        return body
    return {name: value for name, value in body.items() if name not in {key, "Id"}}


def graph_body(graphs: Sequence[Graph], *, version: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The body of one call, with `headers` on every write. Raises ValueError for what the org would refuse as
    a whole."""
    _check_limits(graphs)
    base = f"/services/data/v{version}/"
    return {
        "graphs": [
            {"graphId": graph.graph_id, "compositeRequest": [_request(node, base, headers) for node in graph.nodes]}
            for graph in graphs
        ]
    }


def read_graphs(body: Any, graphs: Sequence[Graph]) -> list[GraphOutcome]:
    """One outcome per graph sent, in that order. A graph that is missing from the response counts as halted."""
    items = body.get("graphs") if isinstance(body, Mapping) else None
    answers = {str(item.get("graphId")): item for item in items or () if isinstance(item, Mapping)}
    return [_read_graph(graph, answers.get(graph.graph_id, {})) for graph in graphs]


def read_node(answer: Mapping[str, Any], *, id: str | None = None) -> Outcome:  # noqa: A002
    """The outcome in `{body, httpStatusCode}` of a graph node or composite subrequest; `id` is used if an empty
    response (204) has none."""
    status, body = int(answer.get("httpStatusCode") or 0), answer.get("body")
    if 200 <= status < 300:
        return replace(read_outcome(body), success=True) if isinstance(body, Mapping) else Outcome(success=True, id=id)
    if status == 300:  # the body is a list of the records' addresses
        message = "The key matches several records: " + ", ".join(map(str, body if isinstance(body, list) else ()))
        return Outcome(success=False, errors=(RowError(code="DUPLICATE_EXTERNAL_ID", message=message),))
    errors = read_errors(body) or (RowError(code=f"HTTP_{status}", message="no reason given"),)
    return Outcome(success=False, errors=errors)


def is_follower(outcome: Outcome) -> bool:
    """Whether every error says that the record was rolled back with another one."""
    return all(error.code in TABLE and TABLE[error.code].follower for error in outcome.errors)


def _request(node: Node, base: str, headers: Mapping[str, str] | None) -> dict[str, Any]:
    request: dict[str, Any] = {
        "method": node.method,
        "url": base + row_path(node.sobject, external_id=node.external_id, id=node.id),
        "referenceId": node.reference,
    }
    if node.method != "DELETE":
        request["body"] = row_body(node.body, node.external_id)
        if headers:
            request["httpHeaders"] = headers
    return request


def _read_graph(graph: Graph, answer: Mapping[str, Any]) -> GraphOutcome:
    response = answer.get("graphResponse")
    items = response.get("compositeResponse") if isinstance(response, Mapping) else None
    answers = {item.get("referenceId"): item for item in items or () if isinstance(item, Mapping)}
    nodes = {
        node.reference: read_node(answers[node.reference], id=node.id)
        if node.reference in answers
        else Outcome(success=False, errors=(_ROLLED_BACK,))
        for node in graph.nodes
    }
    if answer.get("isSuccessful") is True and all(outcome.success for outcome in nodes.values()):
        return GraphOutcome(graph_id=graph.graph_id, success=True, nodes=nodes)
    # A node that reports success in a failed graph was rolled back with it.
    taken_back = {
        name: Outcome(success=False, errors=(_ROLLED_BACK,)) if outcome.success else outcome
        for name, outcome in nodes.items()
    }
    causes = tuple(name for name, outcome in taken_back.items() if not is_follower(outcome))
    if not causes:
        causes = tuple(name for name, outcome in taken_back.items() if _refers_wrongly(outcome))
    return GraphOutcome(graph_id=graph.graph_id, success=False, nodes=taken_back, causes=causes, halted=not causes)


def _refers_wrongly(outcome: Outcome) -> bool:
    return any(_BAD_REFERENCE in error.message.lower() for error in outcome.errors)


def _check_limits(graphs: Sequence[Graph]) -> None:
    nodes = [node for graph in graphs for node in graph.nodes]
    kinds = {(node.method, node.sobject) for node in nodes}
    for count, limit, what in (
        (len(graphs), GRAPHS_PER_CALL, "graphs"),
        (len(nodes), NODES_PER_CALL, "nodes"),
        (len(kinds), NODE_KINDS_PER_CALL, "kinds of nodes"),
    ):
        if count > limit:
            raise ValueError(f"{count} {what} in one graph call; {limit} is the most")
    if len({graph.graph_id for graph in graphs}) < len(graphs):
        raise ValueError("two graphs of one call have the same graph_id")
    for graph in graphs:
        if not _GRAPH_ID.fullmatch(graph.graph_id):
            raise ValueError(f"graph_id {graph.graph_id!r}: starts alphanumeric, under 40 characters, no period")
        references = {node.reference for node in graph.nodes}
        if len(references) < len(graph.nodes) or not all(map(_REFERENCE.fullmatch, references)):
            raise ValueError(f"graph {graph.graph_id}: references are unique letters, digits and underscores")
