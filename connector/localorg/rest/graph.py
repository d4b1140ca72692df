"""`/composite/graph`: each graph one transaction, ordered by its references and by nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connector.localorg.api_call import ApiCall, ApiResponse, error_response, split_target, method_not_allowed
from connector.localorg.errors import Refusal, json_parser_error
from connector.localorg.rest import references
from connector.localorg.rest.composite import run_one
from connector.localorg.rest.references import Sub, halted

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.rest.router import Router

_MOST_GRAPHS = 75
_MOST_NODES = 500
_MOST_DEPTH = 15
_MOST_KINDS = 15
_MOST_FAILED = 14
_GRAPH_ID = re.compile(r"[A-Za-z0-9][^.]{0,38}\Z")
_ROW = {3: {"POST"}, 4: {"GET", "PATCH", "DELETE"}, 5: {"GET", "PATCH", "POST", "DELETE"}}
Kind = tuple[str, str, str]


class _Undone(Exception):  # noqa: N818 - leaves a savepoint, never seen outside
    pass


def _kind(sub: Sub) -> Kind:
    segments, _ = split_target(sub.url)
    return sub.method, segments[2].lower(), segments[4].lower()


def _check_allowed(sub: Sub) -> None:
    segments, _ = split_target(sub.url)
    lowered = [part.lower() for part in segments]
    row = lowered[:2] == ["services", "data"] and len(segments) >= 5 and lowered[3] == "sobjects"
    special = len(lowered) == 6 and lowered[5] in {"describe", "updated", "deleted"}
    if not row or special or sub.method not in _ROW.get(len(segments) - 2, set()):
        raise Refusal(
            "INVALID_INPUT", f"{sub.method} {sub.url} isn't a supported subrequest of a graph ({sub.reference_id})."
        )


def _parse(call: ApiCall) -> list[tuple[str, list[list[Sub]], list[Sub]]]:
    """Graph ID, levels, and subrequests of each graph, within the limits of the resource."""
    listed = call.object_body().get("graphs")
    if not isinstance(listed, list) or not listed or not all(isinstance(item, dict) for item in listed):
        raise json_parser_error("graphs: a list of at least one graph is needed at [line:1, column:1]")
    if len(listed) > _MOST_GRAPHS:
        raise Refusal("LIMIT_EXCEEDED", f"A request can have at most {_MOST_GRAPHS} graphs, not {len(listed)}.")
    parsed = []
    seen: set[str] = set()
    kinds: set[Kind] = set()
    nodes = 0
    for item in listed:
        graph_id = item.get("graphId")
        if not isinstance(graph_id, str) or not _GRAPH_ID.match(graph_id):
            raise Refusal(
                "INVALID_INPUT",
                f"Invalid graphId '{graph_id}': it starts with a letter or digit, has fewer than 40 characters and no"
                " period.",
            )
        if graph_id in seen:
            raise Refusal("INVALID_INPUT", f"Duplicate graphId '{graph_id}'.")
        seen.add(graph_id)
        subs = references.parse(item.get("compositeRequest"))
        for sub in subs:
            _check_allowed(sub)
            kinds.add(_kind(sub))
        nodes += len(subs)
        levels = references.levels(subs)
        if len(levels) > _MOST_DEPTH:
            raise Refusal("LIMIT_EXCEEDED", f"Graph '{graph_id}' is {len(levels)} deep; at most {_MOST_DEPTH}.")
        parsed.append((graph_id, levels, subs))
    if nodes > _MOST_NODES:
        raise Refusal("LIMIT_EXCEEDED", f"A request can have at most {_MOST_NODES} nodes, not {nodes}.")
    if len(kinds) > _MOST_KINDS:
        raise Refusal("LIMIT_EXCEEDED", f"A request can have at most {_MOST_KINDS} kinds of nodes, not {len(kinds)}.")
    return parsed


def graph(org: Org, router: Router, call: ApiCall) -> ApiResponse:
    if call.method != "POST":
        raise method_not_allowed(call, "POST")
    told = []
    failures = 0
    with org.storage.transaction():
        for graph_id, levels, subs in _parse(call):
            if failures >= _MOST_FAILED:
                stop = error_response(halted("The graph was not processed because too many graphs of the request failed."))
                replies, done = {sub.place: stop for sub in subs}, False
            else:
                replies, done = _run(org, router, levels)
                failures += not done
            told.append(
                {
                    "graphId": graph_id,
                    "graphResponse": {"compositeResponse": [_node(sub, replies.get(sub.place)) for sub in subs]},
                    "isSuccessful": done,
                }
            )
    return ApiResponse(200, {"graphs": told})


def _run(org: Org, router: Router, levels: list[list[Sub]]) -> tuple[dict[int, ApiResponse], bool]:
    """The answers of one graph, those of a failed one holding only what failed."""
    replies: dict[int, ApiResponse] = {}
    answers: dict[str, Any] = {}
    written = org.dml.rows_written
    try:
        with org.storage.savepoint():
            for level in levels:
                for group in references.shuffled(level, _kind, org.random):
                    with org.dml.deferred_totals():
                        for sub in group:
                            replies[sub.place] = reply = run_one(router, sub, answers)
                            answers[sub.reference_id] = reply.body
                    if any(not replies[sub.place].ok for sub in group):
                        raise _Undone
    except _Undone:
        org.dml.rows_written = written
        return {place: reply for place, reply in replies.items() if not reply.ok}, False
    return replies, True


def _node(sub: Sub, reply: ApiResponse | None) -> dict[str, Any]:
    reply = reply or error_response(halted())
    return {
        "body": reply.body,
        "httpHeaders": reply.headers,
        "httpStatusCode": reply.status,
        "referenceId": sub.reference_id,
    }
