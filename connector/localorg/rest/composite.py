"""`/composite` and `/composite/batch`: several requests in one call.

A composite is collated unless the request says otherwise: unrelated subrequests run in an order that is not defined.
Here it is shuffled, because a client that relies on list order would fail on the platform.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from connector.localorg.api_call import (
    ApiCall,
    ApiResponse,
    Dispatch,
    error_response,
    method_not_allowed,
    parse_version,
    split_target,
)
from connector.localorg.errors import Refusal, json_parser_error, not_found
from connector.localorg.rest import collections, references
from connector.localorg.rest.references import Subrequest, processing_halted

if TYPE_CHECKING:
    from connector.localorg.org import Org

_MAX_SUBREQUESTS = 25
_MAX_HEAVY = 5
_HEAVY = {"query", "queryall"}
_NOT_JSON = {"jobs", "metadata"}
_OLDEST_IN_BATCH = 34
_NOT_NESTED = {"batch", "tree", "graph"}


class _RolledBack(Exception):  # noqa: N818 - leaves a savepoint, never seen outside
    pass


def nested_call(sub: Subrequest, url: Any, body: Any) -> ApiCall:
    """Return the subrequest as a call. `url` is the value after references were resolved."""
    if not isinstance(url, str):
        raise processing_halted(f"Invalid reference specified: {sub.url} is no URL")
    segments, params = parse_subrequest_url(url)
    if segments[3].lower() in _NOT_JSON:
        raise not_found()
    return ApiCall(
        method=sub.method,
        version=parse_version(segments[2]),
        tail=segments[3:],
        params=params,
        headers=sub.headers,
        body=body,
        nested=True,
    )


def parse_subrequest_url(url: str) -> tuple[list[str], dict[str, str]]:
    segments, params = split_target(url)
    if not url.startswith("/") or len(segments) < 4 or [part.lower() for part in segments[:2]] != ["services", "data"]:
        raise not_found()
    return segments, params


def handle(org: Org, dispatch: Dispatch, call: ApiCall) -> ApiResponse:
    match [part.lower() for part in call.tail[1:]]:
        case []:
            if call.method in {"GET", "HEAD"}:
                kinds = ("tree", "batch", "sobjects", "graph")
                return ApiResponse(200, {kind: f"{call.base}/composite/{kind}" for kind in kinds})
            return _run_composite(org, dispatch, call)
        case ["batch"]:
            return _run_batch(org, dispatch, call)
    raise not_found()


def _is_heavy(sub: Subrequest) -> bool:
    segments, _ = split_target(sub.url)
    tail = [part.lower() for part in segments[3:]]
    return bool(tail) and (tail[0] in _HEAVY or tail[:2] == ["composite", "sobjects"])


def _collation_key(sub: Subrequest) -> Hashable:
    """Return a key that subrequests share if they may run together."""
    segments, _ = split_target(sub.url)
    if sub.headers or len(segments) < 5 or segments[3].lower() != "sobjects":
        return sub.index
    return sub.method, segments[2].lower(), segments[4].lower()


def _run_composite(org: Org, dispatch: Dispatch, call: ApiCall) -> ApiResponse:
    if call.method != "POST":
        raise method_not_allowed(call, "GET", "POST")
    body = call.object_body()
    subs = references.parse_subrequests(body.get("compositeRequest"))
    if len(subs) > _MAX_SUBREQUESTS:
        raise Refusal(
            "LIMIT_EXCEEDED", f"A composite request can have at most {_MAX_SUBREQUESTS} subrequests, not {len(subs)}."
        )
    if sum(map(_is_heavy, subs)) > _MAX_HEAVY:
        raise Refusal(
            "LIMIT_EXCEEDED",
            f"At most {_MAX_HEAVY} subrequests of a composite request can be queries or sObject Collections.",
        )
    all_or_none = _flag(body, "allOrNone", default=False)
    collate = _flag(body, "collateSubrequests", default=float(call.version) >= 49)
    order = subs
    if collate:
        order = [
            sub
            for level in references.dependency_levels(subs)
            for group in references.shuffled_groups(level, _collation_key, org.random)
            for sub in group
        ]
    replies: dict[int, ApiResponse] = {}
    rolled_back = False
    written = org.dml.rows_written
    try:
        with org.storage.transaction():
            _run_subrequests(dispatch, order, replies)
            if all_or_none and any(_has_failed(reply) for reply in replies.values()):
                raise _RolledBack
    except _RolledBack:
        rolled_back = True
        org.dml.rows_written = written
    return ApiResponse(
        200,
        {"compositeResponse": [_render_subresponse(sub, replies[sub.index], rolled_back=rolled_back) for sub in subs]},
    )


def _has_failed(reply: ApiResponse) -> bool:
    """Whether a subrequest failed. A collection fails if one of its rows did.

    The outer `allOrNone` overrides that of the collection (REST API guide, "allOrNone Parameters in Composite and
    Collections Requests").
    """
    rows = reply.body if isinstance(reply.body, list) else []
    return reply.status >= 400 or any(isinstance(row, dict) and row.get("success") is False for row in rows)


def _run_subrequests(dispatch: Dispatch, order: list[Subrequest], replies: dict[int, ApiResponse]) -> None:
    answers: dict[str, Any] = {}
    for sub in order:
        reply = run_subrequest(dispatch, sub, answers)
        replies[sub.index] = reply
        if reply.ok:
            answers[sub.reference_id] = reply.body


def run_subrequest(dispatch: Dispatch, sub: Subrequest, answers: dict[str, Any]) -> ApiResponse:
    try:
        inner = nested_call(
            sub, references.resolve_references(sub.url, answers), references.resolve_references(sub.body, answers)
        )
        first = inner.tail[0].lower()
        if first == "composite" and (len(inner.tail) < 2 or inner.tail[1].lower() in _NOT_NESTED):
            raise not_found()
        return dispatch(inner)
    except Refusal as refusal:
        return error_response(refusal)


def _render_subresponse(sub: Subrequest, reply: ApiResponse, *, rolled_back: bool) -> dict[str, Any]:
    if rolled_back and not _has_failed(reply):
        reply = error_response(processing_halted())
    elif rolled_back and isinstance(reply.body, list):
        reply = ApiResponse(reply.status, [collections.roll_back_row(row) for row in reply.body], reply.headers)
    return {
        "body": reply.body,
        "httpHeaders": reply.headers,
        "httpStatusCode": reply.status,
        "referenceId": sub.reference_id,
    }


def _flag(body: dict[str, Any], name: str, *, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise json_parser_error(f"{name}: true or false is needed at [line:1, column:1]")
    return value


def _run_batch(org: Org, dispatch: Dispatch, call: ApiCall) -> ApiResponse:
    """Run independent requests in order. Each counts as one API call."""
    if call.method != "POST":
        raise method_not_allowed(call, "POST")
    body = call.object_body()
    listed = body.get("batchRequests")
    if not isinstance(listed, list) or not listed or not all(isinstance(item, dict) for item in listed):
        raise json_parser_error("batchRequests: a list of at least one request is needed at [line:1, column:1]")
    if len(listed) > _MAX_SUBREQUESTS:
        raise Refusal("LIMIT_EXCEEDED", f"A batch can have at most {_MAX_SUBREQUESTS} requests, not {len(listed)}.")
    halt = _flag(body, "haltOnError", default=False)
    results: list[dict[str, Any]] = []
    broken = False
    for item in listed:
        if broken and halt:
            stop = Refusal("BATCH_PROCESSING_HALTED", "Batch processing was halted because of an earlier error.")
            results.append({"statusCode": 412, "result": [stop.rest_error()]})
            continue
        reply = _run_batch_item(dispatch, call, item)
        broken = broken or reply.status >= 400
        results.append({"statusCode": reply.status, "result": reply.body})
    return ApiResponse(200, {"hasErrors": broken, "results": results})


def _run_batch_item(dispatch: Dispatch, call: ApiCall, item: dict[str, Any]) -> ApiResponse:
    method, url = item.get("method"), item.get("url")
    try:
        if not isinstance(method, str) or not isinstance(url, str):
            raise Refusal("INVALID_BATCH_REQUEST", "method and url are required for every batch request")
        full = url if url.startswith("/") else f"/services/data/{url}"
        sub = Subrequest(0, method.upper(), full, "", item.get("richInput"), {}, frozenset())
        inner = nested_call(sub, full, sub.body)
        if float(inner.version) > float(call.version):
            raise Refusal("INVALID_BATCH_REQUEST", "The version of a request can't be newer than the batch's.")
        if float(inner.version) < _OLDEST_IN_BATCH:
            raise Refusal("INVALID_BATCH_REQUEST", f"A batch holds requests of version {_OLDEST_IN_BATCH}.0 and later.")
        if inner.tail[0].lower() == "composite":
            raise Refusal("INVALID_BATCH_REQUEST", "A batch can't hold a composite resource.")
        return dispatch(inner)
    except Refusal as refusal:
        return error_response(refusal)
