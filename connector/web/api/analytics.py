"""Metrics of a period as JSON, CSV and bar chart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from connector.errors import UsageError
from connector.model.period import Period
from connector.model.role import Role
from connector.orders.analytics.metric import Metric, parse_day
from connector.orders.analytics.metric_list import METRICS, load_metric
from connector.web import answers
from connector.web.chart import KIND as PICTURE
from connector.web.chart import chart_image
from connector.web.csv_response import KIND as SHEET
from connector.web.csv_response import csv_response
from connector.web.problem import ProblemError
from connector.web.request_body import JSON
from connector.web.routing import ApiResponse, RequestContext, Route, TextBody

QUERIES = {"since": "first day, as 2026-01-31; default: 90 days ago", "until": "day after the last one; default: now"}


async def get_report(call: RequestContext) -> ApiResponse:
    return ApiResponse(value=(await _load_metric(call)).as_dict)


async def get_report_csv(call: RequestContext) -> ApiResponse:
    metric = await _load_metric(call)
    return ApiResponse(value=TextBody(csv_response(metric.columns, metric.rows), SHEET))


async def get_report_chart(call: RequestContext) -> ApiResponse:
    return ApiResponse(value=TextBody(chart_image(await _load_metric(call)), PICTURE))


async def _load_metric(call: RequestContext) -> Metric:
    name = call.path_key("metric")
    if name not in METRICS:
        hint = f"Use one of {', '.join(METRICS)}."
        raise ProblemError(404, "unknown", f"There is no metric {name}.", field="metric", hint=hint)
    since, until = _day_parameter(call, "since"), _day_parameter(call, "until")
    try:
        period = Period.resolve(call.store.clock.now(), since, until)
    except UsageError as error:
        raise ProblemError(400, "query", error.message, field="since", hint=error.hint) from None
    async with call.store.reader() as connection:
        return await load_metric(connection, name, period)


def _day_parameter(call: RequestContext, name: str) -> datetime | None:
    text = call.query_value(name)
    try:
        return None if text is None else parse_day(text)
    except ValueError:
        hint = "Write it as 2026-01-31 or 2026-01-31T08:00:00Z."
        raise ProblemError(400, "query", f"{name}: invalid date {text!r}.", field=name, hint=hint) from None


def _route(
    ending: str, summary: str, handler: Callable[[RequestContext], Awaitable[ApiResponse]], kind: str = JSON
) -> Route:
    return Route(
        method="GET",
        path=f"/analytics/{{metric}}{ending}",
        role=Role.VIEWER,
        summary=summary,
        handler=handler,
        queries=QUERIES,
        kind=kind,
        result=answers.Report if kind == JSON else None,
    )


ROUTES = (
    _route("", f"A metric of a period: {', '.join(METRICS)}.", get_report),
    _route("/csv", "The same as CSV.", get_report_csv, SHEET),
    _route("/chart", "The same as a bar chart (SVG).", get_report_chart, PICTURE),
)
