"""`connector analytics`: metrics over the orders of a period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json, table
from connector.cli.runner import run
from connector.errors import UsageError
from connector.suggestions import suggestion

if TYPE_CHECKING:
    from datetime import datetime

    from connector.orders.analytics.metric import Metric


NAMES = (
    "stages", "dwell", "lead-time", "on-time", "holds", "fill-rate", "returns", "return-reasons", "revenue",
)  # fmt: skip
"""The metrics, for the help, which does not load their queries."""


@app.command(short_help="Report a metric of a period: revenue, on-time, returns, …")
def analytics(
    name: Annotated[str, typer.Argument(metavar="METRIC", help=f"{', '.join(NAMES)}.")],
    since: Annotated[str | None, typer.Option(metavar="DAY", help="First day; default: 90 days ago.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Day after the last one; default: now.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV for a spreadsheet instead of a table.")] = False,
) -> None:
    """Report a metric over the orders that were placed in a period. Reads only the database."""
    from connector.orders.analytics.metric_list import METRICS
    from connector.web.csv_response import csv_response

    if name not in METRICS:
        raise UsageError(f"METRIC: invalid value {name!r}.", hint=suggestion(name, METRICS).strip())
    if json and as_csv:
        raise UsageError("--json, --csv: only one of them is allowed.", hint="Leave one out.")
    metric = run(_load_metric(name, _day("--since", since), _day("--until", until)))
    if json:
        as_json(metric.as_dict)
    elif as_csv:
        typer.echo(csv_response(metric.columns, metric.rows), nl=False)
    else:
        typer.echo(f"{metric.about}\n")
        table([column.replace("_", " ") for column in metric.columns], [_with_placeholders(row) for row in metric.rows])
        if not metric.rows:
            typer.echo("Nothing in this period.")


async def _load_metric(name: str, since: datetime | None, until: datetime | None) -> Metric:
    from connector.model.period import Period
    from connector.orders.analytics.metric_list import load_metric
    from connector.settings import load_settings
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return await load_metric(connection, name, Period.resolve(store.clock.now(), since, until, option="--"))


def _day(option: str, text: str | None) -> datetime | None:
    from connector.orders.analytics.metric import parse_day

    try:
        return None if text is None else parse_day(text)
    except ValueError:
        raise UsageError(f"{option}: invalid date {text!r}.", hint="Write it as 2026-01-31.") from None


def _with_placeholders(row: tuple[object, ...]) -> list[object]:
    """Show an empty name, such as the channel of orders without one, as `(none)`."""
    return ["(none)" if value == "" else value for value in row]
