"""Figures of a period: as JSON, as CSV for a spreadsheet, as a chart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from connector.errors import UsageError
from connector.model.role import Role
from connector.orders.analytics import FIGURES, Figure, Period, day, figure
from connector.web.chart import KIND as PICTURE
from connector.web.chart import bars
from connector.web.problem import ProblemError
from connector.web.request_body import JSON
from connector.web.route import Answer, Call, Raw, Route
from connector.web.sheet import KIND as SHEET
from connector.web.sheet import sheet

QUERIES = {"since": "first day, as 2026-01-31; 90 days ago if absent", "until": "the day after the last; now if absent"}


async def one(call: Call) -> Answer:
    return Answer(value=(await _figure(call)).said)


async def as_csv(call: Call) -> Answer:
    found = await _figure(call)
    return Answer(value=Raw(sheet(found.columns, found.rows), SHEET))


async def as_chart(call: Call) -> Answer:
    return Answer(value=Raw(bars(await _figure(call)), PICTURE))


async def _figure(call: Call) -> Figure:
    name = call.at("figure")
    if name not in FIGURES:
        hint = f"There are {', '.join(FIGURES)}."
        raise ProblemError(404, "unknown", f"There is no figure {name}.", field="figure", hint=hint)
    since, until = _day(call, "since"), _day(call, "until")
    try:
        period = Period.asked(call.store.clock.now(), since, until)
    except UsageError as error:
        raise ProblemError(400, "query", error.message, field="since", hint=error.hint) from None
    async with call.store.reader() as connection:
        return await figure(connection, name, period)


def _day(call: Call, name: str) -> datetime | None:
    text = call.asked(name)
    try:
        return None if text is None else day(text)
    except ValueError:
        hint = "Write it as 2026-01-31 or 2026-01-31T08:00:00Z."
        raise ProblemError(400, "query", f"{text!r} is no day.", field=name, hint=hint) from None


def _route(ending: str, summary: str, handler: Callable[[Call], object], kind: str = JSON) -> Route:
    return Route(
        method="GET",
        path=f"/analytics/{{figure}}{ending}",
        role=Role.VIEWER,
        summary=summary,
        handler=handler,  # type: ignore[arg-type]
        queries=QUERIES,
        kind=kind,
    )


ROUTES = (
    _route("", f"A figure of a period: {', '.join(FIGURES)}.", one),
    _route("/csv", "The same as CSV.", as_csv, SHEET),
    _route("/chart", "The same as a bar chart (SVG).", as_chart, PICTURE),
)
