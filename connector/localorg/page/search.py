"""Search by the beginning of a number, key, name or SKU; it also lists the orders of the accounts it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from connector.localorg.page import record_queries, record_table, widgets
from connector.localorg.page.formatters import ValueFormatter, find_record
from connector.localorg.page.frame import Page
from connector.localorg.page.html import EMPTY, Html, build_url, html, join

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import SObject
    from connector.localorg.write_plan import Row

MAX_HITS = 10
MAX_ACCOUNTS_WITH_ORDERS = 3
"""The orders of at most so many accounts are listed."""
MAX_LENGTH = 100
_SEARCHED_FIELDS = {
    "Order": ("OrderNumber",),
    "Account": ("Name",),
    "Product2": ("Name", "StockKeepingUnit", "ProductCode"),
    "ReturnOrder": ("ReturnOrderNumber",),
    "Case": ("CaseNumber",),
}
_ORDERED = ("Order", "AccountId")
_WIDTHS = {"OrderNumber": 8, "ReturnOrderNumber": 8, "CaseNumber": 8}  # numbers with their leading zeros


def view(org: Org, text: str) -> Page:
    query = text.strip()[:MAX_LENGTH]
    if not query:
        results: Html = Html('<p class="card nothing">Type an order number, an account, a product or a SKU above.</p>')
    else:
        results = _render_results(org, query) or html(
            '<p class="card nothing">Nothing begins with “{}”. Numbers, keys and names are found '
            "by their beginning.</p>",
            query,
        )
    title = f"Search: {query}" if query else "Search"
    return Page(title=title, body=html("<h1>{}</h1>{}", title, results), search_text=query)


def _render_results(org: Org, query: str) -> Html:
    formatter = ValueFormatter(org)
    sections = []
    direct = find_record(org, query)
    for sobject in org.schema:
        hits = _find_rows(org, sobject, query)
        if direct is not None and direct[0].name == sobject.name:
            hits.setdefault(str(direct[1]["Id"]), direct[1])
        if not hits:
            continue
        some = list(hits.values())[:MAX_HITS]
        note = (
            html('<p class="quiet small">The first {}; type more to narrow it down.</p>', MAX_HITS)
            if len(hits) > MAX_HITS
            else EMPTY
        )
        table = record_table.render_table(formatter, sobject, some, caption=sobject.label_plural, empty="")
        sections.append(widgets.section(sobject.label_plural, html("{}{}", table, note)))
        if sobject.name == "Account":
            sections.append(_orders_of_accounts(org, formatter, sobject, some))
    return join(sections)


def _orders_of_accounts(org: Org, formatter: ValueFormatter, account: SObject, accounts: Sequence[Row]) -> Html:
    """Render the orders of the accounts that were found: people search orders by the customer's name."""
    relations = [item for item in record_table.relations(org, account) if (item[0].name, item[1].name) == _ORDERED]
    if not relations:
        return EMPTY
    if len(accounts) > MAX_ACCOUNTS_WITH_ORDERS:
        return Html('<p class="quiet small">The orders of an account are on its page.</p>')
    return join(
        record_table.related_section(
            org,
            formatter,
            relations[0],
            str(row["Id"]),
            title=f"Orders of {formatter.record_title(account, row)}",
            always="No orders yet.",
            more=build_url("orders", account=row["Id"]),
        )
        for row in accounts
    )


def _find_rows(org: Org, sobject: SObject, query: str) -> dict[str, Row]:
    """Return live rows by ID, searching the indexed columns that the running user may see."""
    hits: dict[str, Row] = {}
    if sobject.event:
        return hits
    for field in sobject.fields.values():
        if field.name not in _SEARCHED_FIELDS.get(sobject.name, ()) and not (field.external_id and field.custom):
            continue
        for text in _spellings(field.name, query, cased=field.case_sensitive):
            for row in record_queries.rows_with_prefix(org, sobject.name, field.name, text, MAX_HITS + 1):
                hits.setdefault(str(row["Id"]), row)
    return hits


def _spellings(column: str, query: str, *, cased: bool) -> list[str]:
    """Return the query, a number also with leading zeros, a case-sensitive key also in upper and lower case."""
    spellings = [query]
    if column in _WIDTHS and query.isascii() and query.isdigit():
        spellings.append(query.zfill(_WIDTHS[column]))
    if cased:
        spellings += [query.upper(), query.lower()]
    return list(dict.fromkeys(spellings))
