"""`connector import`: orders from CSV or NDJSON files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.inputs import check_input
from connector.cli.output import as_json, table
from connector.cli.progress import Progress
from connector.cli.runner import run
from connector.errors import ConnectorError, StoreError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.orders.importing import ImportReport
    from connector.orders.importing.report import Remarks

MAX_SHOWN = 20
KINDS = ("customers", "products", "orders", "lines", "joined rows")
MOST_KEPT = 10_000
RERUN_HINT = "Run it again for the rest."


@app.command("import")
def import_(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="A folder, or files: CSV, or NDJSON with an order a line.")
    ],
    profile: Annotated[Path | None, typer.Option(help="A YAML profile that describes files in another format.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count; store nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document with every problem.")] = False,
) -> None:
    """Import customers, products and orders. Importing the same files twice changes nothing.

    Bad rows are reported with file, line and column; the good ones are imported. An order with a bad row is left out
    completely. If rows of the same customer or product differ, the last one wins, and a notice says so.

    Exit status 1 if rows were bad, 2 if the files cannot be used at all.
    """
    from connector.orders.importing import ImportReport, import_files, load_profile
    from connector.orders.org_routes import route_customers
    from connector.settings import load_settings
    from connector.store.dry_run import dry_run as dry_run_store
    from connector.store.schema import open_store

    settings = load_settings()
    for path in paths:
        if path.exists() and not path.is_dir():
            check_input(path)
    loaded = load_profile(profile) if profile else None
    report = ImportReport()

    async def work() -> None:
        async with open_store(settings) as store:
            route_customers(store, settings)
            with Progress("Reading") as progress:
                target = {"open_target": dry_run_store} if dry_run else {}
                await import_files(store, paths, loaded, progress=progress, report=report, **target)

    try:
        run(work(), stopped=lambda: _stopped(report, dry_run=dry_run))
    except StoreError as error:
        if not dry_run and any(report.done(kind) for kind in report.expected):
            raise ConnectorError(f"{error.message} {_so_far(report)}", hint=f"{error.hint} {RERUN_HINT}") from error
        raise
    if json:
        as_json(_document(report, dry_run=dry_run))
    else:
        _show(report, dry_run=dry_run)
    if report.faults.total:
        raise typer.Exit(1)


def _stopped(report: ImportReport, *, dry_run: bool) -> str:
    if dry_run:
        return "Stopped before the end. Nothing was stored."
    if not any(report.done(kind) for kind in report.expected):
        return f"Stopped before the end. Nothing was stored yet. {RERUN_HINT}"
    return f"Stopped before the end. {_so_far(report)} {RERUN_HINT}"


def _so_far(report: ImportReport) -> str:
    parts = [f"{report.done(kind):,} of {total:,} {kind}" for kind, total in report.expected.items() if total]
    counts = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"{counts} are stored."


def _document(report: ImportReport, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        **{
            kind: {"created": saved.created, "updated": saved.updated, "unchanged": saved.unchanged}
            for kind, saved in report.saved.items()
        },
        "lines": report.lines,
        "bad": dict(report.bad),
        "left_out": report.left_out,
        "problems": report.problems,
        "problem_count": report.faults.total,
        "notices": report.notices,
        "notice_count": report.changes.total,
    }


def _show(report: ImportReport, *, dry_run: bool) -> None:
    from connector.store.sql import Saved

    rows = []
    for kind in sorted(report.saved.keys() | report.bad.keys(), key=KINDS.index):
        saved = report.saved.get(kind, Saved())
        rows.append((kind, saved.created, saved.updated, saved.unchanged, report.bad[kind]))
    if not rows:
        typer.echo("These files have no rows.")
        return
    table(("", "created", "updated", "unchanged", "bad rows"), rows)
    if "orders" in report.saved:
        typer.echo(f"{plural(report.lines, 'order line')} in these orders.")
    if not report.faults.total and not any(saved.created or saved.updated for saved in report.saved.values()):
        typer.echo("Nothing changed: everything was stored already.")
    if report.changes.total:
        typer.echo(
            f"{plural(report.changes.total, 'row')} replaced values of an earlier row of the same customer or product:"
        )
        _list(report.changes, err=False)
    _list(report.faults, err=True)
    if report.left_out_count:
        typer.echo(_left_out_sentence(report), err=True)
    if dry_run:
        typer.echo("Dry run: nothing was stored.")


def _list(remarks: Remarks, *, err: bool) -> None:
    groups = remarks.groups
    for group in groups[:MAX_SHOWN]:
        typer.echo(str(group), err=err)
    if len(groups) > MAX_SHOWN:
        more = remarks.total - sum(group.count for group in groups[:MAX_SHOWN])
        typer.echo(f"… and {more:,} more: --json lists {'all' if remarks.total <= MOST_KEPT else 'more'}.", err=err)


def _left_out_sentence(report: ImportReport) -> str:
    numbers = ", ".join(report.left_out[:MAX_SHOWN])
    more = report.left_out_count - MAX_SHOWN
    count = plural(report.left_out_count, "order")
    verb = "was" if report.left_out_count == 1 else "were"
    others = f" and {more:,} more" if more > 0 else ""
    return f"{count} {verb} left out completely, because a row is bad: {numbers}{others}."
