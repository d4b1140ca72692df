"""The list of orders, newest first: by stage, by status, only those on hold, or those of one account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from connector.localorg.page import record_queries, record_table, widgets
from connector.localorg.page.formatters import ValueFormatter, picklist_label
from connector.localorg.page.frame import Page
from connector.localorg.page.html import EMPTY, Html, build_url, html, link, render_options
from connector.localorg.page.indexes import HOLD, STAGE

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import Field, SObject


def view(org: Org, params: Mapping[str, str]) -> Page:
    sobject = order_object(org)
    formatter = ValueFormatter(org)
    chosen = {name: params.get(name, "") for name in ("account", "stage", "status")}
    columns = {"account": "AccountId", "stage": STAGE, "status": "Status"}
    equals = {
        columns[name]: value for name, value in chosen.items() if value and sobject.get(columns[name]) is not None
    }
    held_only = params.get("held") == "1" and sobject.get(HOLD) is not None
    before = record_queries.parse_cursor(params.get("before", ""))
    part = record_queries.newest_rows(org, "Order", equals, held_only=held_only, before=before)
    filters = {**chosen, "held": "1" if held_only else ""}
    table = record_table.render_table(
        formatter,
        sobject,
        part.rows,
        caption="Orders, newest first",
        empty=_empty(bool(equals) or held_only, part.search_limit_reached),
    )
    steps = widgets.navigation(
        [
            ("Newest", build_url("orders", **filters) if before else None),
            (
                f"Look further back than these {record_queries.MAX_ROWS_SEARCHED:,}"
                if part.search_limit_reached
                else "Older",
                build_url("orders", **filters, before=part.next_cursor) if part.next_cursor else None,
            ),
        ]
    )
    account_name = formatter.record_name(chosen["account"]) if chosen["account"] else None
    account_line = (
        html('<p class="quiet">Of {}. {}</p>', formatter.link_record(chosen["account"]), link("/orders", "All orders"))
        if account_name
        else EMPTY
    )
    count = html('<p class="quiet small">{} orders in all</p>', f"{record_queries.count_rows(org, 'Order'):,}")
    body = html(
        '<div class="head"><div>{}<h1>Orders</h1></div></div>{}{}{}{}',
        count,
        account_line,
        _filters(sobject, filters),
        table,
        steps,
    )
    return Page(title="Orders", body=body, navigation_url="/orders")


def order_object(org: Org) -> SObject:
    return org.dml.plan("Order").sobject


def _empty(filtered: bool, unfinished: bool) -> Html:
    if unfinished:
        return html(
            "None among the {} orders looked at. Look further back below.", f"{record_queries.MAX_ROWS_SEARCHED:,}"
        )
    if filtered:
        return Html('No order is like this. <a href="/orders">Show all orders</a>')
    return Html("No orders yet. They appear here as soon as one is written through the API.")


def _filters(sobject: SObject, filters: Mapping[str, str]) -> Html:
    stage, status, hold = sobject.get(STAGE), sobject.get("Status"), sobject.get(HOLD)
    account = (
        html('<input type="hidden" name="account" value="{}">', filters["account"]) if filters["account"] else EMPTY
    )
    box = (
        html(
            '<label class="check"><input type="checkbox" name="held" value="1"{}> On hold only</label>',
            Html(" checked") if filters["held"] else EMPTY,
        )
        if hold
        else EMPTY
    )
    return html(
        '<form class="filters" action="/orders" aria-label="Filter">{}{}{}{}'
        '<button class="button second">Show</button></form>',
        account,
        _select("stage", "Stage", stage, filters["stage"]),
        _select("status", "Status", status, filters["status"]),
        box,
    )


def _select(name: str, label: str, field: Field | None, chosen: str) -> Html:
    if field is None:
        return EMPTY
    choices = {"": "Any", **{item.value: item.label for item in field.picklist}}
    if chosen:
        choices.setdefault(chosen, picklist_label(field, chosen))
    return html('<label>{}<select name="{}">{}</select></label>', label, name, render_options(choices, chosen))
