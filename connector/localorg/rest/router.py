"""Dispatch data calls to the resource of their first path segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from connector.localorg.api_call import ApiCall, ApiResponse, error_response
from connector.localorg.errors import Refusal, not_found
from connector.localorg.rest import (
    bulk_jobs,
    collections,
    composite,
    graph,
    metadata_api,
    place_order,
    query,
    resources,
    search,
    tooling,
    tree,
    ui_metadata,
)

if TYPE_CHECKING:
    from connector.localorg.org import Org

Resource = Callable[["Org", ApiCall], ApiResponse]
_READ_ONLY = {"query", "queryall", "limits", "search", "parameterizedsearch"}
_UI_METADATA = ("tabs", "quickactions", "theme", "appmenu", "actions", "recent", "chatter")


class Router:
    def __init__(self, org: Org) -> None:
        self.org = org
        self._resources: dict[str, Resource] = {
            "": resources.list_resources,
            "sobjects": resources.handle_sobjects,
            "limits": resources.limits,
            "event": resources.event_schema,
            "query": query.handle,
            "queryall": query.handle,
            "composite": self._dispatch_composite,
            "jobs": bulk_jobs.handle,
            "metadata": metadata_api.handle,
            "commerce": place_order.handle,
            "tooling": tooling.handle,
            "search": search.handle,
            "parameterizedsearch": search.handle,
            **dict.fromkeys(_UI_METADATA, ui_metadata.handle),
        }

    def add(self, name: str, resource: Resource) -> None:
        self._resources[name.lower()] = resource

    def dispatch(self, call: ApiCall) -> ApiResponse:
        """Answer a call. A Refusal becomes an error response."""
        resource = self._resources.get(call.tail[0].lower() if call.tail else "")
        if resource is None:
            return error_response(not_found())
        dml = self.org.dml
        outer = dml.allow_duplicates
        dml.allow_duplicates = _allows_duplicates(call, outer=call.nested and outer)
        dml.api_version = call.version
        try:
            return resource(self.org, call)
        except Refusal as refusal:
            return error_response(refusal)
        finally:
            dml.allow_duplicates = outer

    def _dispatch_composite(self, org: Org, call: ApiCall) -> ApiResponse:
        match call.tail[1].lower() if len(call.tail) > 1 else "":
            case "sobjects":
                return collections.handle(org, call)
            case "tree":
                return tree.handle(org, call)
            case "graph":
                return graph.handle(org, self.dispatch, call)
        return composite.handle(org, self.dispatch, call)


def _allows_duplicates(call: ApiCall, *, outer: bool) -> bool:
    """Whether `Sforce-Duplicate-Rule-Header: allowSave=true` is set. A subrequest without the header inherits the
    value.
    """
    header = call.headers.get("sforce-duplicate-rule-header")
    if header is None:
        return outer
    options = dict(part.strip().lower().partition("=")[::2] for part in header.replace(",", ";").split(";"))
    return options.get("allowsave", "").strip() == "true"


def takes_raw_body(call: ApiCall) -> bool:
    """Whether the resource parses the body by itself, because it may be other than JSON."""
    return bool(call.tail) and call.tail[0].lower() in {"jobs", "metadata"}


def describe_call(call: ApiCall) -> tuple[str, bool, int]:
    """Return how a call counts: the name of its resource, whether it writes, how many API calls it is."""
    tail = [part.lower() for part in call.tail]
    first = tail[0] if tail else "resources"
    write = call.method not in {"GET", "HEAD"} and first not in _READ_ONLY
    if first == "sobjects":
        special = len(tail) < 3 or tail[2] in {"describe", "updated", "deleted"}
        name = "sobjects/describe" if special and not write else "sobjects/rows"
        return name, write, 1
    if first == "jobs":
        return f"jobs/{tail[1] if len(tail) > 1 else ''}", write and tail[1:2] != ["query"], 1
    if first != "composite" or len(tail) == 1:
        return first, write and not _only_reads(call), 1
    if tail[1] == "batch":
        listed = call.body.get("batchRequests") if isinstance(call.body, dict) else None
        calls = max(len(listed), 1) if isinstance(listed, list) else 1
        return "composite/batch", write, calls
    if tail[1] == "sobjects":
        return "composite/sobjects", write and not collections.is_read(call), 1
    return f"composite/{tail[1]}", write, 1


def _only_reads(call: ApiCall) -> bool:
    listed = call.body.get("compositeRequest") if isinstance(call.body, dict) else None
    return isinstance(listed, list) and all(
        isinstance(item, dict) and str(item.get("method")).upper() in {"GET", "HEAD"} for item in listed
    )
