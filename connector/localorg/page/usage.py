"""The usage page: API calls against the limit, calls by resource, events, active faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.page import widgets
from connector.localorg.page.frame import Page
from connector.localorg.page.html import Html, html, join
from connector.localorg.page.widgets import Column

if TYPE_CHECKING:
    from connector.localorg.org import Org


def view(org: Org) -> Page:
    counters = org.usage.as_dict()
    resources = sorted(counters["by_resource"].items(), key=lambda item: (-item[1], item[0]))
    total = sum(count for _, count in resources)
    table = widgets.render_table(
        "API calls by resource",
        [Column("Resource"), Column("Calls", number=True), Column("Share", number=True)],
        ([html("<code>{}</code>", name), f"{count:,}", f"{count / total:.1%}"] for name, count in resources),
        empty="No calls yet. They are counted from the first one on.",
        few=True,
    )
    body = join(
        [
            Html("<h1>API usage</h1>"),
            summary(org),
            widgets.section("By resource", table, more=Html('<a href="/calls">Call log</a>')),
            widgets.section("Events", _event_usage(org)),
            widgets.section("Made to misbehave", _active_faults(org)),
        ]
    )
    return Page(title="API usage", body=body, navigation_url="/usage")


def summary(org: Org) -> Html:
    usage = org.usage
    share = usage.used / usage.limit if usage.limit else 1.0
    return html(
        '<div class="card"><label for="used">{} of {} calls in the last 24 hours ({})</label>'
        '<meter id="used" min="0" max="{}" low="{}" high="{}" optimum="0" value="{}"></meter>{}</div>',
        f"{usage.used:,}",
        f"{usage.limit:,}",
        f"{share:.1%}",
        usage.limit,
        round(usage.limit * 0.7),
        round(usage.limit * 0.9),
        usage.used,
        widgets.definition_list(
            [
                ("API calls", Html(f"{usage.calls:,}")),
                ("Of them writes", Html(f"{usage.writes:,}")),
                ("Of them reads", Html(f"{usage.reads:,}")),
            ],
            kind="highlights",
        ),
    )


def _event_usage(org: Org) -> Html:
    counters, hub = org.usage.as_dict(), org.hub.as_dict()
    return widgets.definition_list(
        [
            ("Delivered in 24 hours", Html(f"{counters['events_delivered']:,}")),
            ("Published in the last hour", Html(f"{counters['events_published']:,}")),
            ("Newest replay number", Html(f"{hub['latest']:,}")),
            ("Kept for", html("{} hours", f"{hub['retention_seconds'] / 3600:g}")),
            ("Changes captured of", html("{}", ", ".join(hub["captured"]))),
        ]
    )


def _active_faults(org: Org) -> Html:
    on = [(name, html("{}", value)) for name, value in org.faults.as_dict().items() if value and name != "status"]
    return widgets.definition_list(on) or Html(
        '<p class="card nothing">Nothing is set: the org answers as it should.</p>'
    )
