"""The log of API calls, newest first: path, status, rows written, duration and injected fault."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from connector.localorg.page import widgets
from connector.localorg.page.frame import Page
from connector.localorg.page.html import EMPTY, Html, html, render_options
from connector.localorg.page.widgets import Column

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.usage import LoggedCall

MAX_CALLS = 200
_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
_ANY = "any"


def view(org: Org, params: Mapping[str, str]) -> Page:
    method, fault, failed = params.get("method", ""), params.get("fault", ""), params.get("failed") == "1"
    log = org.usage.log
    matching = (call for call in reversed(log) if _matches(call, method, fault, failed=failed))
    calls = list(islice(matching, MAX_CALLS))
    rest = sum(1 for _ in matching)
    faults = sorted({call.fault for call in log if call.fault} | ({fault} - {"", _ANY}))
    table = widgets.render_table(
        "Calls, newest first",
        [
            Column("Time (UTC)"), Column("Method"), Column("Path"), Column("Status"),
            Column("Rows written", number=True), Column("ms", number=True), Column("Made to fail by"),
        ],
        map(_row, calls),
        empty=Html('No such call. <a href="/calls">Show all calls</a>')
        if log
        else "No calls yet. The log begins with the first one and is kept until the org stops.",
        few=True,
    )  # fmt: skip
    summary = (
        f"{len(calls):,} of {len(calls) + rest:,} such calls" if rest else f"{len(calls):,} calls"
    ) + f", of the latest {len(log):,} that were logged."
    body = html(
        '<h1>Call log</h1>{}<p class="quiet small">{}</p>{}',
        _filters(method, fault, faults, failed=failed),
        summary,
        table,
    )
    return Page(title="Call log", body=body, navigation_url="/calls")


def _matches(call: LoggedCall, method: str, fault: str, *, failed: bool) -> bool:
    return (
        (not method or call.method == method)
        and (not fault or call.fault == fault or (fault == _ANY and call.fault is not None))
        and (not failed or _has_failed(call))
    )


def _has_failed(call: LoggedCall) -> bool:
    return call.status == 0 or call.status >= 400


def _row(call: LoggedCall) -> list[object]:
    status = "No answer" if call.status == 0 else str(call.status)
    date, _, time = call.time.partition("T")
    return [
        html('<time datetime="{}">{} {}</time>', call.time, date, time.partition("+")[0]),
        call.method,
        html("<code>{}</code>", _legible(call.path)),
        html('<span class="tag bad">{} failed</span>', status) if _has_failed(call) else status,
        f"{call.rows:,}",
        f"{call.ms:,.1f}",
        call.fault,
    ]


def _legible(path: str) -> str:
    """Return a decoded path: `/query?q=SELECT Id FROM Order`."""
    address, question_mark, query = path.partition("?")
    return f"{unquote(address)}{question_mark}{unquote_plus(query)}"


def _filters(method: str, fault: str, faults: list[str], *, failed: bool) -> Html:
    return html(
        '<form class="filters" action="/calls" aria-label="Filter">'
        '<label>Method<select name="method">{}</select></label>'
        '<label>Made to fail by<select name="fault">{}</select></label>'
        '<label class="check"><input type="checkbox" name="failed" value="1"{}> Failed only</label>'
        '<button class="button second">Show</button></form>',
        render_options({"": "Any", **{name: name for name in _METHODS}}, method),
        render_options({"": "All calls", _ANY: "Any fault", **{name: name for name in faults}}, fault),
        Html(" checked") if failed else EMPTY,
    )
