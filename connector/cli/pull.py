"""`connector pull`: brings back what changed in the org."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.delivery_text import delivery_document, delivery_text
from connector.cli.output import as_json, moment, quantity, table
from connector.cli.runner import run
from connector.wording import plural

if TYPE_CHECKING:
    from connector.inbound.context import ApplyReport
    from connector.jobs.pull import PullSummary
    from connector.model.record_change import RecordChange

MAX_SHOWN = 10
LONGEST_VALUE = 40


@app.command(short_help="Bring back what changed in the org.")
def pull(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, field by field, and change nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Read what changed in the org since the last pull, apply it here by the owner of each field, and print a summary.

    A field that the org owns, or that changed there last, is taken over. A field that is owned here is made due, and
    the next push restores it in the org. Exit status 1 if a conflict is open or a record could not be applied, in a dry
    run if one would be.
    """
    from connector.log import configure
    from connector.service import running_service
    from connector.settings import load_settings

    settings = load_settings()
    configure(settings.log_level, **settings.log_options)

    async def work() -> PullSummary:
        async with running_service(settings) as service:
            return await service.pull(dry_run=dry_run)

    summary = run(work())
    if json:
        as_json(pull_document(summary))
    else:
        print_pull(summary)
    if not summary.in_sync:
        raise typer.Exit(1)


def pull_document(summary: PullSummary) -> dict[str, Any]:
    """The summary as one JSON object."""
    return {
        "dry_run": summary.dry_run,
        "objects": [
            {
                "sobject": poll.sobject,
                "rows": poll.rows,
                "bulk_rows": poll.bulk_rows,
                "deleted": poll.deleted,
                "watermark": poll.watermark,
                "overlap_seconds": poll.overlap.total_seconds(),
            }
            for poll in summary.polls
        ],
        "elsewhere": summary.elsewhere,
        **_applied_document(summary.applied),
        **({"changes": summary.changes, "not_looked_at": summary.not_looked_at} if summary.dry_run else {}),
        "api_calls": {"reads": summary.reads},
        "conflicts_open": summary.open_conflicts,
        "parked": summary.parked,
        "waiting": summary.waiting,
        "deliveries": [delivery_document(usage) for usage in summary.deliveries],
        "filter_problem": summary.filter_problem,
        "in_sync": summary.in_sync,
        "seconds": round(summary.seconds, 3),
    }


def _applied_document(applied: ApplyReport) -> dict[str, Any]:
    return {
        "records": applied.records,
        "unchanged": applied.echoes,
        "not_ours": applied.unknown,
        "adopted": applied.adopted,
        "read_again": applied.deferred,
        "taken": dict(applied.taken),
        "restored": dict(applied.restored),
        "overruled": dict(applied.overruled),
        "refused": applied.refused,
        "conflicts_opened": applied.conflicts,
        "deletions": [
            {"entity": entity, "done": done, "count": count}
            for (entity, done), count in sorted(applied.deleted.items())
        ],
        "undeleted": dict(applied.undeleted),
    }


def _print_deletions(applied: ApplyReport) -> None:
    rows = [(entity, done, count) for (entity, done), count in sorted(applied.deleted.items())]
    rows += [(entity, "undeleted", count) for entity, count in sorted(applied.undeleted.items())]
    if not rows:
        return
    table(("Deleted in the org", "done here", "number"), rows)
    if any(done == "reported" for _, done, _ in rows):
        typer.echo("What is reported stays here: `connector show` says when it was deleted;")
        typer.echo("`connector resync ENTITY KEY --recreate` creates it again.")


def print_pull(summary: PullSummary) -> None:
    """Print the summary for a person."""
    applied = summary.applied
    would = "would be " if summary.dry_run else ""
    table(
        ("Object", "rows read", "deleted", "up to"),
        [
            (poll.sobject, poll.rows, poll.deleted, moment(poll.watermark) if poll.watermark else "")
            for poll in summary.polls
        ],
    )
    if summary.filter_problem:
        typer.echo(summary.filter_problem)
    for sobject in summary.elsewhere:
        typer.echo(f"{sobject} is being polled by another process.")
    rows = [(name, applied.taken[name], applied.restored[name]) for name in sorted({*applied.taken, *applied.restored})]
    if rows:
        restored = "would be restored there" if summary.dry_run else "to be restored there"
        table(("Field", f"{would}taken from the org", restored), rows)
    elif not (applied.deleted or applied.undeleted or applied.adopted or summary.changes or summary.not_looked_at):
        typer.echo("Nothing that concerns us has changed in the org.")
    if summary.dry_run:
        _print_dry_run(summary)
        return
    if applied.adopted:
        typer.echo(
            f"{plural(applied.adopted, 'record')} created in the org taken over: `connector push` sends the keys."
        )
    if applied.refused:
        typer.echo(f"{plural(applied.refused, 'change')} of an order not allowed at its stage: our values stand.")
    _print_deletions(applied)
    for name in sorted(applied.overruled):
        typer.echo(f"{name}: something in the org changes what we send; our value is no longer sent.")
    if sum(applied.restored.values()):
        typer.echo("`connector push` restores our values in the org.")
    typer.echo(f"{plural(summary.reads, 'read call')} made, in {summary.seconds:.1f} s.")
    if summary.open_conflicts:
        typer.echo(f"{plural(summary.open_conflicts, 'conflict')} to be resolved: `connector conflicts list`.")
    if summary.parked:
        typer.echo(f"{plural(summary.parked, 'record')} could not be applied: `connector inbox list` says why.")
    if summary.waiting:
        typer.echo(f"{plural(summary.waiting, 'record')} to be read again: run `connector pull` once more.")
    for usage in summary.deliveries:
        typer.echo(delivery_text(usage, streamed=usage.topic in summary.streamed))


def _print_dry_run(summary: PullSummary) -> None:
    """Each change, up to a number, and what would wait then."""
    changes = summary.changes
    if changes:
        table(
            ("Record", "field", "here", "in the org", "what would happen"),
            [
                (
                    f"{change.entity} {change.key}" if change.key else f"{change.sobject} {change.record_id}",
                    change.field or "",
                    _text(change.here) if change.field else "",
                    _text(change.in_org) if change.field else "",
                    _outcome(change),
                )
                for change in changes[:MAX_SHOWN]
            ],
        )
    if len(changes) > MAX_SHOWN:
        typer.echo(f"… and {len(changes) - MAX_SHOWN:,} more: --json lists all.")
    if summary.not_looked_at:
        typer.echo(f"{plural(summary.not_looked_at, 'other changed record')} not looked at.")
    for number, text in (
        (summary.open_conflicts, "conflict"),
        (summary.parked, "parked record"),
        (summary.waiting, "record to be read again"),
    ):
        if number:
            typer.echo(f"{plural(number, text, text.replace('record', 'records'))} afterwards.")
    typer.echo(f"The dry run made {plural(summary.reads, 'read call')}, in {summary.seconds:.1f} s.")
    typer.echo("Dry run: nothing was changed, here or in the org.")


def _outcome(change: RecordChange) -> str:
    """What would happen, who changed the record, and why."""
    by = f" (changed by {change.changed_by})" if change.changed_by else ""
    why = f": {change.why}" if change.why else ""
    return f"{change.effect.value}{by}{why}"


def _text(value: object) -> str:
    """A value on one line, not too long for a table."""
    if isinstance(value, float | Decimal):
        value = quantity(Decimal(str(value)))  # the org has every number as 2.0
    text = "(empty)" if value is None or value == "" else " ".join(str(value).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
