"""`connector doctor`: checks the whole installation, and says what to do."""

from __future__ import annotations

import shutil
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json
from connector.cli.runner import run
from connector.wording import plural

if TYPE_CHECKING:
    from connector.model.health_check import DoctorReport, HealthCheck

NARROWEST, WIDEST = 60, 120
STATUS_WIDTH, NAME_WIDTH = 9, 16
MOST_DETAILS = 10
"""Problems of one check that are listed; all are in the JSON document."""


@app.command(short_help="Check settings, database, service and org; say what to do.")
def doctor(json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False) -> None:
    """Check the settings, files, the database, the service, and the org: sign-in, permissions, fields, events, limits.

    Nothing is changed, here or in the org. It takes one sign-in and four API calls. Exit status 1 if a check failed.
    """
    report = run(_examine())
    if json:
        as_json(report)
    else:
        _print(report)
    if not report.healthy:
        raise typer.Exit(1)


async def _examine() -> DoctorReport:
    from connector.clock import SystemClock
    from connector.errors import SettingsError
    from connector.jobs.doctor.examine import examine, report_of_settings
    from connector.log import configure
    from connector.settings import load_settings
    from connector.store.schema import store_of

    clock = SystemClock()
    try:
        settings = load_settings()
        configure(settings.log_level, **settings.log_options)
        store = store_of(settings, clock=clock)
    except SettingsError as error:
        return report_of_settings(error, clock=clock)
    try:
        return await examine(settings, store, clock=clock)
    finally:
        await store.close()


def _print(report: DoctorReport) -> None:
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns))
    for (status, text), group in groupby(report.checks, key=lambda check: (check.status.value, check.text)):
        checks = list(group)
        if status == "skipped" and len(checks) > 1:
            names = ", ".join(check.name for check in checks)
            _wrap(f"{text} Not checked: {names}.", width, f"{status:<{STATUS_WIDTH}}", " " * STATUS_WIDTH)
        else:
            for check in checks:
                _print_check(check, width)
    counts: dict[str, int] = {}
    for check in report.checks:
        counts[check.status.value] = counts.get(check.status.value, 0) + 1
    words = {"pass": "passed", "warn": "to be looked at", "fail": "failed", "skipped": "skipped"}
    told = ", ".join(f"{counts[status]} {word}" for status, word in words.items() if status in counts)
    typer.echo(f"{told}; {report.seconds:.1f} s, {plural(report.api_calls, 'API call')}.")


def _print_check(check: HealthCheck, width: int) -> None:
    """The status, the name, the sentence, and what to do; each in its column."""
    status = check.status.value.upper() if check.status.value in {"fail", "warn"} else check.status.value
    start = f"{status:<{STATUS_WIDTH}}{check.name:<{NAME_WIDTH}}"
    margin = " " * len(start)
    _wrap(check.text, width, start, margin)
    if check.fix:
        _wrap(check.fix, width, f"{margin}-> ", f"{margin}   ")
    if check.status.value in {"fail", "warn"}:
        for detail in check.details[:MOST_DETAILS]:
            _wrap(detail, width, f"{margin}* ", f"{margin}  ")
        if len(check.details) > MOST_DETAILS:
            typer.echo(f"{margin}* and {len(check.details) - MOST_DETAILS} more: see --json")


def _wrap(text: str, width: int, first: str, others: str) -> None:
    typer.echo(
        textwrap.fill(
            text, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
        )
    )
