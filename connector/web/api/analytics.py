"""Figures of a period: as JSON, as CSV for a spreadsheet, as a chart."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from connector.model.role import Role
from connector.orders.analytics import FIGURES, Figure, Period, figure
from connector.web.chart import bars
from connector.web.problem import ProblemError
from connector.web.route import Answer, Call, Raw, Route

USUAL = timedelta(days=90)
QUERIES = {"since": "first day, as 2026-01-31; 90 days ago if absent", "until": "the day after the last; now if absent"}


async def one(call: Call) -> Answer:
    found = await _figure(call)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    return Answer(value={"name": found.name, "about": found.about, "columns": found.columns, "rows": rows})


async def as_csv(call: Call) -> Answer:
    found = await _figure(call)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(found.columns)
    writer.writerows([[_cell(value) for value in row] for row in found.rows])
    return Answer(value=Raw(text.getvalue(), "text/csv"))


async def as_chart(call: Call) -> Answer:
    return Answer(value=Raw(bars(await _figure(call)), "image/svg+xml"))


async def _figure(call: Call) -> Figure:
    name = call.at("figure")
    if name not in FIGURES:
        hint = f"There are {', '.join(FIGURES)}."
        raise ProblemError(404, "unknown", f"There is no figure {name}.", field="figure", hint=hint)
    until = _moment(call, "until", call.store.clock.now())
    since = _moment(call, "since", until - USUAL)
    async with call.store.reader() as connection:
        return await figure(connection, name, Period(since=since, until=until))


def _moment(call: Call, name: str, otherwise: datetime) -> datetime:
    text = call.asked(name)
    if text is None:
        return otherwise
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        hint = "Write it as 2026-01-31 or 2026-01-31T08:00:00Z."
        raise ProblemError(400, "query", f"{text!r} is no day.", field=name, hint=hint) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula is kept a text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in set("=+-@\t\r") else value


def _route(ending: str, summary: str, handler: Callable[[Call], object]) -> Route:
    return Route(
        method="GET",
        path=f"/analytics/{{figure}}{ending}",
        role=Role.VIEWER,
        summary=summary,
        handler=handler,  # type: ignore[arg-type]
        queries=QUERIES,
    )


ROUTES = (
    _route("", f"A figure of a period: {', '.join(FIGURES)}.", one),
    _route("/csv", "The same as CSV.", as_csv),
    _route("/chart", "The same as a bar chart (SVG).", as_chart),
)
