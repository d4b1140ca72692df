"""`/composite/graph`: each graph is one transaction, ordered by its references only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connector.localorg.api_call import ApiCall, ApiResponse, Dispatch, error_response, method_not_allowed, split_target
from connector.localorg.errors import Refusal, json_parser_error
from connector.localorg.rest import references
from connector.localorg.rest.composite import run_subrequest
from connector.localorg.rest.references import Subrequest, processing_halted

if TYPE_CHECKING:
    from connector.localorg.org import Org

_MAX_GRAPHS = 75
_MAX_NODES = 500
_MAX_DEPTH = 15
_MAX_KINDS = 15
_MAX_FAILED = 14
_GRAPH_ID = re.compile(r"[A-Za-z0-9][^.]{0,38}\Z")
_ROW_METHODS = {3: {"POST"}, 4: {"GET", "PATCH", "DELETE"}, 5: {"GET", "PATCH", "POST", "DELETE"}}
NodeKind = tuple[str, str, str]


class _RolledBack(Exception):  # noqa: N818 - leaves a savepoint, never seen outside
    pass


def _node_kind(sub: Subrequest) -> NodeKind:
    segments, _ = split_target(sub.url)
    return sub.method, segments[2].lower(), segments[4].lower()


def _check_allowed(sub: Subrequest) -> None:
    segments, _ = split_target(sub.url)
    lowered = [part.lower() for part in segments]
    row = lowered[:2] == ["services", "data"] and len(segments) >= 5 and lowered[3] == "sobjects"
    special = len(lowered) == 6 and lowered[5] in {"describe", "updated", "deleted"}
    if not row or special or sub.method not in _ROW_METHODS.get(len(segments) - 2, set()):
        raise Refusal(
            "INVALID_INPUT", f"{sub.method} {sub.url} isn't a supported subrequest of a graph ({sub.reference_id})."
        )


def _parse_graphs(call: ApiCall) -> list[tuple[str, list[list[Subrequest]], list[Subrequest]]]:
    """Return ID, levels and subrequests of each graph. Refusal if a limit of the resource is exceeded."""
    listed = call.object_body().get("graphs")
    if not isinstance(listed, list) or not listed or not all(isinstance(item, dict) for item in listed):
        raise json_parser_error("graphs: a list of at least one graph is needed at [line:1, column:1]")
    if len(listed) > _MAX_GRAPHS:
        raise Refusal("LIMIT_EXCEEDED", f"A request can have at most {_MAX_GRAPHS} graphs, not {len(listed)}.")
    parsed = []
    seen: set[str] = set()
    kinds: set[NodeKind] = set()
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
        subs = references.parse_subrequests(item.get("compositeRequest"))
        for sub in subs:
            _check_allowed(sub)
            kinds.add(_node_kind(sub))
        nodes += len(subs)
        levels = references.dependency_levels(subs)
        if len(levels) > _MAX_DEPTH:
            raise Refusal("LIMIT_EXCEEDED", f"Graph '{graph_id}' is {len(levels)} deep; at most {_MAX_DEPTH}.")
        parsed.append((graph_id, levels, subs))
    if nodes > _MAX_NODES:
        raise Refusal("LIMIT_EXCEEDED", f"A request can have at most {_MAX_NODES} nodes, not {nodes}.")
    if len(kinds) > _MAX_KINDS:
        raise Refusal("LIMIT_EXCEEDED", f"A request can have at most {_MAX_KINDS} kinds of nodes, not {len(kinds)}.")
    return parsed


def handle(org: Org, dispatch: Dispatch, call: ApiCall) -> ApiResponse:
    if call.method != "POST":
        raise method_not_allowed(call, "POST")
    results = []
    failures = 0
    with org.storage.transaction():
        for graph_id, levels, subs in _parse_graphs(call):
            if failures >= _MAX_FAILED:
                stop = error_response(
                    processing_halted("The graph was not processed because too many graphs of the request failed.")
                )
                replies, done = {sub.index: stop for sub in subs}, False
            else:
                replies, done = _run_graph(org, dispatch, levels)
                failures += not done
            results.append(
                {
                    "graphId": graph_id,
                    "graphResponse": {"compositeResponse": [_render_node(sub, replies.get(sub.index)) for sub in subs]},
                    "isSuccessful": done,
                }
            )
    return ApiResponse(200, {"graphs": results})


def _run_graph(org: Org, dispatch: Dispatch, levels: list[list[Subrequest]]) -> tuple[dict[int, ApiResponse], bool]:
    """Return the responses of one graph and whether it succeeded. A failed graph has only its failed responses."""
    replies: dict[int, ApiResponse] = {}
    answers: dict[str, Any] = {}
    written = org.dml.rows_written
    try:
        with org.storage.savepoint():
            for level in levels:
                for group in references.shuffled_groups(level, _node_kind, org.random):
                    with org.dml.deferred_totals():
                        for sub in group:
                            replies[sub.index] = reply = run_subrequest(dispatch, sub, answers)
                            answers[sub.reference_id] = reply.body
                    if any(not replies[sub.index].ok for sub in group):
                        raise _RolledBack
    except _RolledBack:
        org.dml.rows_written = written
        return {index: reply for index, reply in replies.items() if not reply.ok}, False
    return replies, True


def _render_node(sub: Subrequest, reply: ApiResponse | None) -> dict[str, Any]:
    reply = reply or error_response(processing_halted())
    return {
        "body": reply.body,
        "httpHeaders": reply.headers,
        "httpStatusCode": reply.status,
        "referenceId": sub.reference_id,
    }
