"""Analytics: one metric of a period as a chart, with the orders behind each bar, and as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from urllib.parse import urlencode

from aiohttp import web

from connector.errors import UsageError
from connector.model.period import Period
from connector.model.shipments import ReturnReason
from connector.orders.analytics.metric import Metric
from connector.orders.analytics.metric_list import METRICS, load_metric
from connector.orders.analytics.recent import RecentMetrics
from connector.web.chart import Values, draw_charts
from connector.web.console.formats import Place
from connector.web.console.frame import ConsolePage
from connector.web.csv_response import KIND, csv_response
from connector.web.problem import ProblemError
from connector.web.query_moment import first_moment, query_day
from connector.web.routing import ApiResponse, RequestContext, TextBody, make_response

TITLES: Mapping[str, str] = {
    "stages": "Orders by stage", "dwell": "Time in a stage", "lead-time": "Lead time", "on-time": "On time",
    "holds": "Holds", "fill-rate": "Fill rate", "returns": "Returns", "return-reasons": "Why goods come back",
    "revenue": "Revenue",
}  # fmt: skip
LENGTHS = (7, 30, 90, 365)
"""Days of the periods to choose from."""
DEFAULT_DAYS = 30
RECENT_METRICS = web.AppKey("recent_metrics", RecentMetrics)
_BEHIND: Mapping[str, str] = {"channel": "channel", "stage": "stage", "sku": "sku", "reason": "returned"}
"""The filter of the list of orders, by the column that names what a bar is about."""
_HAPPENED: Mapping[str, Mapping[str, str]] = {"dwell": {"stage": "left"}, "holds": {"reason": "held"}}
"""The same for metrics of what has happened to orders."""


async def load_analytics(call: RequestContext) -> Mapping[str, object]:
    place = Place.of(call.request)
    name, period, first, last = _chosen(call, place)
    computed_at, metric = await call.request.app[RECENT_METRICS].get(call.store.reader, name, period)
    days = {"from": first.isoformat(), "to": last.isoformat()}
    today = call.store.clock.now().astimezone(place.info).date()
    return {
        "title": TITLES[name],
        "metric": metric,
        "computed_at": computed_at,
        "charts": draw_charts(metric, partial(_address_of, name, days)),
        "name": name,
        "metrics": TITLES,
        "first": first,
        "last": last,
        "query": urlencode({"metric": name, **days}),
        "days": urlencode(days),
        "periods": [
            (length, urlencode({"metric": name, "from": (today - timedelta(days=length - 1)).isoformat()}),
             (last, (last - first).days + 1) == (today, length))
            for length in LENGTHS
        ],
    }  # fmt: skip


def _chosen(call: RequestContext, place: Place) -> tuple[str, Period, date, date]:
    """The metric and the period of the address: by default the last 30 days, in the time zone of the viewer."""
    name = call.query_value("metric") or "stages"
    if name not in METRICS:
        hint = f"Use one of {', '.join(METRICS)}."
        raise ProblemError(404, "unknown", f"There is no metric {name[:80]}.", field="metric", hint=hint)
    now = call.store.clock.now()
    last = query_day(call, "to") or now.astimezone(place.info).date()
    first = query_day(call, "from") or last - timedelta(days=DEFAULT_DAYS - 1)
    try:
        since, until = first_moment(first, place.info), first_moment(last + timedelta(days=1), place.info)
        return name, Period.resolve(now, since, until), first, last
    except (UsageError, OverflowError):
        message = f"The period ends ({last}) before it begins ({first})."
        raise ProblemError(400, "query", message, field="to", hint="Correct one of the two days.") from None


def _address_of(name: str, days: Mapping[str, str], values: Values) -> str | None:
    """The list of the orders behind a bar."""
    filters = _HAPPENED.get(name, _BEHIND)
    chosen = {query: str(values[column]) for column, query in filters.items() if values.get(column)}
    if chosen.get("returned", ReturnReason.OTHER) not in set(ReturnReason):
        return None
    return f"/orders?{urlencode({**chosen, **days})}" if chosen else None


async def send_sheet(call: RequestContext) -> web.StreamResponse:
    """The metric as CSV, all rows."""
    name, period, _, _ = _chosen(call, Place.of(call.request))
    async with call.store.reader() as connection:
        metric: Metric = await load_metric(connection, name, period)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    body = TextBody(csv_response(metric.columns, metric.rows), KIND)
    return await make_response(call.request, ApiResponse(value=body, headers=headers))


PAGES = (
    ConsolePage(path="/analytics", title="Analytics", template="analytics.html.j2", load=load_analytics),
    ConsolePage(path="/analytics.csv", title="", template="", load=send_sheet),
)
