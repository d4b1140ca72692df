"""`connector import`: orders from CSV or NDJSON files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.inputs import check_input
from connector.cli.loop import run
from connector.cli.output import as_json, plural, table
from connector.cli.progress import Progress

if TYPE_CHECKING:
    from connector.orders.importing import ImportReport

SHOWN = 20


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="A folder, or files.")],
    profile: Annotated[Path | None, typer.Option(help="A profile (YAML) for files that are not in our form.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count, store nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document with every problem.")] = False,
) -> None:
    """Import customers, products and orders. Importing the same files twice changes nothing.

    Bad rows are told with file, line and column; the good ones still go in. An order with a bad line is left out whole.
    Exit status 1 if rows were bad, 2 if the files cannot be used at all.
    """
    from connector.orders.importing import import_files, load_profile
    from connector.settings import load_settings
    from connector.store.opening import opened
    from connector.store.rehearsal import rehearsal

    settings = load_settings()
    for path in paths:
        if path.exists() and not path.is_dir():
            check_input(path)
    loaded = load_profile(profile) if profile else None

    async def work() -> ImportReport:
        async with opened(settings) as store:
            with Progress("Importing") as progress:
                if not dry_run:
                    return await import_files(store, paths, loaded, watcher=progress)
                async with rehearsal(store) as scratch:
                    return await import_files(scratch, paths, loaded, watcher=progress)

    report = run(work())
    if json:
        as_json(_document(report, dry_run=dry_run))
    else:
        _show(report, dry_run=dry_run)
    if report.problems:
        raise typer.Exit(1)


def _document(report: ImportReport, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        **{
            kind: {"created": saved.created, "updated": saved.updated, "unchanged": saved.unchanged}
            for kind, saved in report.saved.items()
        },
        "lines": report.lines,
        "bad": dict(report.bad),
        "problems": report.problems,
    }


def _show(report: ImportReport, *, dry_run: bool) -> None:
    rows = [
        (kind, saved.created, saved.updated, saved.unchanged, report.bad[kind]) for kind, saved in report.saved.items()
    ]
    rows += [(kind, 0, 0, 0, count) for kind, count in report.bad.items() if kind not in report.saved]
    if not rows:
        typer.echo("There is no row in these files.")
        return
    table(("", "created", "updated", "unchanged", "bad rows"), rows)
    if "orders" in report.saved:
        typer.echo(f"{plural(report.lines, 'order line')} in these orders.")
    for problem in report.problems[:SHOWN]:
        typer.echo(problem, err=True)
    if len(report.problems) > SHOWN:
        typer.echo(f"… and {len(report.problems) - SHOWN:,} more: --json lists all.", err=True)
    if dry_run:
        typer.echo("Rehearsal: nothing was stored.")
