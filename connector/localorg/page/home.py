"""The home page: orders by stage, the latest orders, and API usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.page import record_queries, record_table, usage, widgets
from connector.localorg.page.formatters import ValueFormatter
from connector.localorg.page.frame import Page
from connector.localorg.page.html import EMPTY, Html, build_url, html, join
from connector.localorg.page.indexes import HOLD, STAGE
from connector.localorg.page.orders import order_object

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import SObject

LATEST = 15


def view(org: Org) -> Page:
    sobject = order_object(org)
    part = record_queries.newest_rows(org, "Order", {}, limit=LATEST)
    table = record_table.render_table(
        ValueFormatter(org), sobject, part.rows, caption="Latest orders",
        empty="No orders yet. They appear here as soon as one is written through the API.",
    )  # fmt: skip
    body = join(
        [
            Html("<h1>What the org holds</h1>"),
            _tiles(org),
            _stages(org, sobject),
            widgets.section("Latest orders", table, more=Html('<a href="/orders">All orders</a>')),
            widgets.section("API usage", usage.summary(org), more=Html('<a href="/usage">By resource</a>')),
        ]
    )
    return Page(title="Home", body=body, navigation_url="/")


def _tiles(org: Org) -> Html:
    tiles = [
        _tile("Orders", f"{record_queries.count_rows(org, 'Order'):,}", "/orders"),
        _tile("Accounts", f"{record_queries.count_rows(org, 'Account'):,}", "/accounts"),
        _tile("Products", f"{record_queries.count_rows(org, 'Product2'):,}", "/products"),
    ]
    if order_object(org).get(HOLD):
        tiles.insert(
            1, _tile("On hold", format_count(record_queries.bounded_count(org, "Order")), build_url("orders", held="1"))
        )
    return html('<ul class="cards tiles">{}</ul>', join(tiles))


def _tile(label: str, count: str, to: str) -> Html:
    return html(
        '<li><a class="card" href="{}"><span class="figure">{}</span> <span class="quiet">{}</span></a></li>',
        to,
        count,
        label,
    )


def format_count(count: int) -> str:
    return f"over {record_queries.MAX_COUNT:,}" if count > record_queries.MAX_COUNT else f"{count:,}"


def _stages(org: Org, sobject: SObject) -> Html:
    field = sobject.get(STAGE)
    if field is None:
        return EMPTY
    counts = (
        (item.value, item.label, record_queries.bounded_count(org, "Order", STAGE, item.value))
        for item in field.picklist
    )
    stages = join(
        html(
            '<li{}><a href="{}"><b>{}</b><span>{}</span></a></li>',
            EMPTY if count else Html(' class="none"'),
            build_url("orders", stage=value),
            format_count(count),
            label,
        )
        for value, label, count in counts
    )
    return widgets.section("Orders by stage", html('<ol class="path">{}</ol>', stages))
