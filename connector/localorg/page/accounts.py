"""The list of accounts by name, and the page of one account: details, orders, contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from connector.localorg.page import history, record, record_queries, record_table, widgets
from connector.localorg.page.formatters import ValueFormatter, find_record
from connector.localorg.page.frame import Page, not_found_page
from connector.localorg.page.html import build_url, html, join

if TYPE_CHECKING:
    from connector.localorg.org import Org

_FIRST = ("Order.AccountId", "ReturnOrder.AccountId", "Contact.AccountId", "Case.AccountId", "Task.WhatId")


def view(org: Org, params: Mapping[str, str]) -> Page:
    return list_by_name(
        org, "Account", "accounts", params, empty="No accounts yet. They appear with the first account that is written."
    )


def list_by_name(org: Org, sobject: str, segment: str, params: Mapping[str, str], *, empty: str) -> Page:
    """Render a list of records in order of their names, page by page."""
    object_type = org.dml.plan(sobject).sobject
    formatter = ValueFormatter(org)
    name, record_id = params.get("name", ""), params.get("after", "")
    page = record_queries.rows_by_name(org, sobject, (name, record_id) if record_id else None)
    title = object_type.label_plural
    next_url = build_url(segment, name=page.next_cursor[0], after=page.next_cursor[1]) if page.next_cursor else None
    body = join(
        [
            html(
                '<div class="head"><div><p class="quiet small">{} {} in all</p><h1>{}</h1></div></div>',
                f"{record_queries.count_rows(org, sobject):,}",
                title.lower(),
                title,
            ),
            record_table.render_table(formatter, object_type, page.rows, caption=f"{title} by name", empty=empty),
            widgets.navigation([("First", f"/{segment}" if record_id else None), ("Further", next_url)]),
        ]
    )
    return Page(title=title, body=body, navigation_url=f"/{segment}")


def view_account(org: Org, record_id: str) -> Page:
    record_found = find_record(org, record_id)
    if record_found is None or record_found[0].name != "Account":
        return not_found_page(f"There is no account {record_id}.")
    sobject, row = record_found
    formatter = ValueFormatter(org)
    title = formatter.record_title(sobject, row)
    account_id = str(row["Id"])
    relations = {f"{child.name}.{by.name}": (child, by) for child, by in record_table.relations(org, sobject)}
    sections = []
    for name in _FIRST:
        if name in relations:
            child = relations[name][0]
            more = build_url("orders", account=account_id) if child.name == "Order" else ""
            always = f"No {child.label_plural.lower()} yet."
            sections.append(
                record_table.related_section(org, formatter, relations[name], account_id, always=always, more=more)
            )
    body = join(
        [
            widgets.heading(sobject.label, title),
            record.deleted_alert(row),
            record.field_section(formatter, sobject, row),
            *sections,
            record.related_sections(org, formatter, sobject, row, without=set(_FIRST), quiet=True),
            history.section(org, formatter, sobject, row),
        ]
    )
    return Page(title=f"Account {title}", body=body, navigation_url="/accounts")
