"""SOQL over REST: one page of rows at a time, with a locator for the rest."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

from connector.localorg import soql
from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed
from connector.localorg.errors import Refusal
from connector.localorg.rest import query_columns
from connector.localorg.soql.parser import parse
from connector.localorg.tooling.objects import IN_DATA_API

if TYPE_CHECKING:
    from connector.localorg.org import Org

_MAX_BATCH_SIZE = 2000
_MIN_BATCH_SIZE = 200
_SQLITE_LIMIT_ERRORS = ("at most 64 tables", "too many", "too large", "overflow")  # in messages of SQLite
_BATCH_SIZE = re.compile(r"batchSize\s*=\s*(\d{1,9})", re.IGNORECASE | re.ASCII)


def handle(org: Org, call: ApiCall, *, tooling: bool = False) -> ApiResponse:
    """Run a query. With `tooling`, Tooling objects come before those of the org."""
    if call.method not in {"GET", "HEAD"}:
        raise method_not_allowed(call, "GET")
    rest = call.tail[1:]
    if rest:
        return ApiResponse(
            200, org.cursors.next_page(rest[0], org.clock(), f"{call.base}/tooling" if tooling else call.base)
        )
    text = call.params.get("q") or call.params.get("explain")
    if not text:
        raise Refusal("MALFORMED_QUERY", "A query string has to be specified")
    if len(text) > 100_000:
        raise Refusal("QUERY_TOO_COMPLICATED", "SOQL statements cannot be longer than 100000 characters.")
    batch_size = _BATCH_SIZE.search(call.headers.get("sforce-query-options", ""))
    page = min(max(int(batch_size[1]), _MIN_BATCH_SIZE), _MAX_BATCH_SIZE) if batch_size else _MAX_BATCH_SIZE
    now = org.clock()
    base = f"{call.base}/tooling" if tooling else call.base
    paging = soql.Paging(page, lambda rest: f"{base}/query/{org.cursors.open_cursor(rest, page, now)}-{page}")
    try:
        result = _open_query(org, call, text, paging, tooling=tooling)
        if "explain" in call.params:
            return ApiResponse(200, _render_explain(parse(text).source, result, text))
        if call.params.get("columns", "").lower() == "true":
            return ApiResponse(200, query_columns.describe_columns(org, text, tooling=tooling))
        return ApiResponse(200, org.cursors.first_page(result, min(page, result.max_page_size), now, base))
    except soql.SoqlError as error:
        raise Refusal(error.code, error.message) from error
    except sqlite3.OperationalError as error:
        if not any(text_part in str(error) for text_part in _SQLITE_LIMIT_ERRORS):
            raise
        raise Refusal("QUERY_TOO_COMPLICATED", "The query is too complicated.") from None


def _render_explain(source: str, result: soql.PagedResult, text: str) -> dict[str, Any]:
    """Render the response to `explain`: a table scan."""
    plan = {
        "cardinality": result.total_size,
        "fields": [],
        "leadingOperationType": "TableScan",
        "notes": [],
        "relativeCost": 1.0,
        "sobjectCardinality": result.total_size,
        "sobjectType": source,
    }
    return {"plans": [plan], "sourceQuery": text}


def _open_query(org: Org, call: ApiCall, text: str, paging: soql.Paging, *, tooling: bool) -> soql.PagedResult:
    now = org.clock()
    source = parse(text).source
    tooling_object = org.tooling.schema.get(source)
    if tooling_object is not None and (tooling or tooling_object.name.lower() in IN_DATA_API):
        return org.tooling.open_query(text, version=call.version, now=now, user_id=org.dml.user_id, paging=paging)
    return soql.open_query(
        org.storage.connection,
        org.schema,
        text,
        version=call.version,
        all_rows=call.tail[0].lower() == "queryall",
        now=now,
        paging=paging,
    )
