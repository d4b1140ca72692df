"""`connector push`: send what is due, wait, say what it came to."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json, plural, table
from connector.cli.progress import Progress

if TYPE_CHECKING:
    from connector.jobs.push import PushSummary


SOBJECTS = ("Account", "Product2", "PricebookEntry", "Order", "OrderItem")


class Watching:
    """Progress of a push, on stderr."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def expect(self, total: int) -> None:
        self._progress.expect(total)

    def advance(self, count: int = 1) -> None:
        self._progress.advance(count)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


@app.command()
def push(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and change nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Send every change that is due to the org, wait for the answers, and print a summary.

    Exit status 1 if something was refused or is still waiting; `connector dead-letters list` tells which.
    """
    from connector.log import configure
    from connector.service import running
    from connector.settings import load_settings

    settings = load_settings()
    configure(settings.log_level)

    async def run() -> PushSummary:
        async with running(settings) as service:
            with Progress("Rehearsing" if dry_run else "Pushing") as progress:
                return await service.push(Watching(progress), dry_run=dry_run)

    summary = asyncio.run(run())
    if json:
        as_json(as_document(summary))
    else:
        show(summary)
    if not summary.in_sync and not dry_run:
        raise typer.Exit(1)
    if dry_run and summary.tally.refused:
        raise typer.Exit(1)


def as_document(summary: PushSummary) -> dict[str, object]:
    tally = summary.tally
    return {
        "dry_run": summary.dry_run,
        "created": dict(tally.created),
        "updated": dict(tally.updated),
        "done": dict(tally.done),
        "unchanged": dict(tally.unchanged),
        "refused": dict(tally.refused),
        "adopted": tally.adopted,
        "api_calls": {"writes": summary.writes, "reads": summary.reads},
        "org_usage": {"used": summary.org_used, "allowed": summary.org_allowed},
        "dead_letters": summary.dead_letters,
        "waiting": summary.waiting,
        "next_due": summary.next_due,
        "stopped": summary.stopped,
        "in_sync": summary.in_sync,
        "seconds": round(summary.seconds, 3),
    }


def show(summary: PushSummary) -> None:
    tally = summary.tally
    rows = [(name, tally.created[name], tally.updated[name]) for name in SOBJECTS]
    rows = [row for row in rows if row[1] or row[2]]
    if rows:
        would = "would be " if summary.dry_run else ""
        table(("Object", f"{would}created", f"{would}updated"), rows)
    elif not tally.refused and not summary.stopped:
        typer.echo("Nothing to send: the org has everything." if summary.in_sync else "Nothing could be sent.")
    typer.echo(
        f"{plural(summary.writes, 'write call')}, {plural(summary.reads, 'read call')}, {summary.seconds:.1f} s."
    )
    if tally.adopted:
        typer.echo(f"{plural(tally.adopted, 'order')} found in the org from an earlier, unanswered write.")
    if summary.org_allowed:
        typer.echo(f"The org counts {summary.org_used:,} of {summary.org_allowed:,} API requests in 24 hours.")
    refused = sum(tally.refused.values())
    if summary.dry_run:
        if refused:
            typer.echo(f"{plural(refused, 'entity', 'entities')} would be refused.")
        typer.echo("Rehearsal: nothing was sent, nothing was stored.")
        return
    if summary.stopped:
        typer.echo(f"Stopped early: {summary.stopped}")
    if summary.dead_letters:
        typer.echo(f"{plural(summary.dead_letters, 'dead letter')}: `connector dead-letters list` says why.")
    if summary.waiting:
        typer.echo(
            f"{plural(summary.waiting, 'change')} still to be sent, the next at {summary.next_due:%H:%M:%S} UTC."
        )
