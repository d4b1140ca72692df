"""`connector push` and `connector resync`: send due changes, wait for the results, and print a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.dead_letters import dead_letter_document, print_dead_letter
from connector.cli.key_argument import key
from connector.cli.output import as_json, moment, table
from connector.cli.progress import Progress
from connector.cli.runner import run
from connector.cli.status_remarks import deleted_remark
from connector.errors import UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connector.jobs.lookup_forecast import LookupForecast
    from connector.jobs.push_summary import PushSummary
    from connector.model.change import EntityKind
    from connector.service import Services
    from connector.store.engine import Store
    from connector.store.outbox_filters import Selection


MAX_SHOWN = 10
SOBJECTS = ("Account", "Product2", "PricebookEntry", "Order", "OrderItem")


@app.command(short_help="Send all due changes to the org.")
def push(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and change nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Send all due changes to the org, wait for the results, and print a summary.

    CONNECTOR_SALESFORCE__LOGIN_URL names the org. Exit status 1 if something was refused or is still waiting;
    `connector dead-letters list` shows what was refused. Records that were deleted in the org are named, but do not
    change the exit status. If a push was stopped or killed, the next one finishes it.
    """
    _push(dry_run=dry_run, json=json)


@app.command(short_help="Send entities again after a change of mapping or org.")
def resync(
    entity: Annotated[
        str | None, typer.Argument(help="customer, product, order or return.", show_default=False)
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY…", help="Numbers of customers or orders, or SKUs.", show_default=False, parser=key),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All entities.")] = False,
    recreate: Annotated[
        bool, typer.Option("--recreate", help="Create records again that were deleted in the org; only with KEY.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and change nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Make entities due as if they had changed, and push only them: the named ones, all of a kind, or --all.

    Only fields that differ are sent, so an unchanged entity costs no write call. Named entities are compared with the
    org's current values, all others with the values that both sides last agreed on. Use it after editing a mapping,
    first with --dry-run. A record that was deleted in the org is reported; --recreate creates it again.
    """
    from connector.model.change import EntityKind

    if (entity is None) != all_:
        raise UsageError(
            "resync: either ENTITY or --all is required.", hint="Give an entity with or without keys, or --all."
        )
    if entity is not None and entity not in set(EntityKind):
        raise UsageError(f"ENTITY: invalid value {entity!r}.", hint="Use one of customer, product, order, return.")
    kind = None if entity is None else EntityKind(entity)
    if recreate and not keys:
        raise UsageError("--recreate: KEY is required.", hint="Give the entity and its keys.")
    unique_keys = list(dict.fromkeys(keys or ()))
    _push(dry_run=dry_run, json=json, prepare=lambda service: _resync(service, kind, unique_keys, recreate=recreate))


def _resync(
    service: Services, kind: EntityKind | None, keys: list[str], *, recreate: bool
) -> Callable[[Store], Awaitable[Selection | None]]:
    """The work before the push."""
    from connector.jobs.resync import resync as make_ready

    return lambda store: make_ready(store, service.client, service.settings, kind, keys, recreate=recreate)


def _push(
    *,
    dry_run: bool,
    json: bool,
    prepare: Callable[[Services], Callable[[Store], Awaitable[Selection | None]]] | None = None,
) -> None:
    from connector.log import configure
    from connector.service import running_service
    from connector.settings import load_settings

    settings = load_settings()
    configure(settings.log_level, **settings.log_options)

    async def work() -> tuple[PushSummary, int]:
        """The summary, and the number of open conflicts."""
        from connector.store import conflicts

        async with running_service(settings) as service:
            with Progress("Dry run" if dry_run else "Pushing") as progress:
                pushed = await service.push(progress, dry_run=dry_run, prepare=prepare(service) if prepare else None)
            async with service.org_store.reader() as connection:
                return pushed, await conflicts.count_open(connection)

    summary, open_conflicts = run(work())
    if json:
        as_json(as_document(summary) | {"open_conflicts": open_conflicts})
    else:
        print_summary(summary, open_conflicts)
    if summary.refusals or summary.dead_letters if dry_run else not summary.complete:
        raise typer.Exit(1)


def as_document(summary: PushSummary) -> dict[str, object]:
    stats = summary.stats
    return {
        "dry_run": summary.dry_run,
        "created": dict(stats.created),
        "updated": dict(stats.updated),
        "done": dict(stats.done),
        "unchanged": dict(stats.unchanged),
        "refused": dict(stats.refused),
        "adopted": stats.recovered,
        "api_calls": {"writes": summary.writes, "reads": summary.reads},
        "dry_run_reads": summary.dry_run_reads,
        "org_usage": {"used": summary.org_used, "allowed": summary.org_allowed},
        "activated_mapping": summary.activated_mapping,
        "mapping_problem": summary.mapping_problem,
        "dead_letters": summary.dead_letters,
        "discarded": summary.discarded,
        "deleted_in_org": [{"entity": kind.value, "key": key} for kind, key in summary.deleted_in_org],
        "refusals": [dead_letter_document(dead_letter) for dead_letter in summary.refusals],
        "changed_in_org": stats.changed_in_org,
        "notes": stats.notes,
        "forecast": None if summary.lookup_forecast is None else _forecast_document(summary.lookup_forecast),
        "waiting": summary.waiting,
        "others_due": summary.others_due,
        "next_due": summary.next_due,
        "stopped": summary.stopped,
        "elsewhere": summary.others_at_work,
        "held": summary.held,
        "paused": {lane.word: count for lane, count in summary.paused.items()},
        "pause_reason": summary.pause_reason,
        "in_sync": summary.in_sync,
        "seconds": round(summary.seconds, 3),
    }


def _forecast_document(forecast: LookupForecast) -> dict[str, object]:
    return {
        "looked_at": forecast.looked_at,
        "left_out": forecast.not_looked_at,
        "reads": forecast.reads,
        "found_by_key": forecast.found_by_key,
    }


def print_summary(summary: PushSummary, open_conflicts: int) -> None:
    if summary.activated_mapping is not None and summary.activated_mapping > 1:
        typer.echo(f"Mapping version {summary.activated_mapping} is now active.")
    if summary.mapping_problem is not None:
        typer.echo(summary.mapping_problem)
    _print_records(summary)
    calls = f"{plural(summary.writes, 'write call')} and {plural(summary.reads, 'read call')}"
    if not summary.writes and not summary.reads:
        calls = "No API call"
    typer.echo(f"{calls} would be made." if summary.dry_run else _made(calls, summary))
    if summary.org_allowed:
        typer.echo(f"The org counts {summary.org_used:,} of {summary.org_allowed:,} API requests in 24 hours.")
    if summary.dry_run:
        _print_dry_run(summary)
        return
    if summary.stopped:
        typer.echo(f"The org accepts nothing now, and all changes stay due: {summary.stopped}")
    elif summary.held:
        typer.echo(f"The org does not accept some changes, which stay due: {summary.held}")
    if summary.dead_letters:
        dead_letters = plural(summary.dead_letters, "dead letter")
        typer.echo(f"{dead_letters}: `connector dead-letters list` says why and what to do.")
    if summary.pause_reason is not None:
        lanes = ", ".join(f"{count:,} {lane.word}" for lane, count in summary.paused.items())
        typer.echo(
            f"{plural(sum(summary.paused.values()), 'change')} to be sent later ({lanes}). {summary.pause_reason}"
        )
    not_paused = summary.waiting - sum(summary.paused.values())
    if summary.stopped:
        typer.echo(
            f"{plural(summary.waiting, 'change')} still to be sent: `connector push` tries the org again, and so does a"
            " running service."
        )
    elif not_paused:
        when = f", the next at {moment(summary.next_due)}" if summary.next_due else ""
        then = "run `connector push` again then"
        if summary.others_at_work:
            then = "another push or a service is at work on them. Let it finish, or run `connector push` again"
        typer.echo(f"{plural(not_paused, 'change')} still to be sent{when}: {then}.")
    if summary.others_due:
        them = "it" if summary.others_due == 1 else "them"
        typer.echo(f"{plural(summary.others_due, 'other change')} due: `connector push` sends {them}.")
    if summary.discarded:
        discarded = plural(summary.discarded, "change")
        typer.echo(f"{discarded} discarded, which the org does not have: `connector status` says which.")
    if summary.deleted_in_org:
        typer.echo(deleted_remark([(kind.value, key) for kind, key in summary.deleted_in_org]))
    if open_conflicts:
        typer.echo(
            f"{plural(open_conflicts, 'conflict')} to be resolved: `connector conflicts list` shows both values."
        )
    elif summary.in_sync:
        typer.echo("The requested entities are in sync." if summary.others_due else "In sync.")


def _made(calls: str, summary: PushSummary) -> str:
    if not summary.writes and not summary.reads:
        return f"{calls} was made."
    return f"{calls} made, in {summary.seconds:.1f} s."


def _print_records(summary: PushSummary) -> None:
    stats = summary.stats
    rows = [(name, stats.created[name], stats.updated[name]) for name in SOBJECTS]
    rows = [row for row in rows if row[1] or row[2]]
    if rows:
        would = "would be " if summary.dry_run else ""
        table(("Object", f"{would}created", f"{would}updated"), rows)
        if stats.created["Order"] and stats.updated["Order"]:
            typer.echo("(Activating an order is an update of its own.)")
    elif not stats.refused and not summary.stopped and not summary.refusals and not summary.paused:
        typer.echo("Nothing was due." if not summary.in_sync else "The org has everything.")
    if stats.recovered:
        typer.echo(f"{plural(stats.recovered, 'order')} found in the org from an earlier, unanswered write.")
    if stats.changed_in_org:
        records = plural(stats.changed_in_org, "record")
        would = "would be" if summary.dry_run else "was"
        typer.echo(
            f"{records} had also been changed in the org: each field {would} merged by its owner in the mapping."
        )
    for note in stats.notes[:MAX_SHOWN]:
        typer.echo(note)
    if len(stats.notes) > MAX_SHOWN:
        typer.echo(f"… and {len(stats.notes) - MAX_SHOWN:,} more: --json lists all.")


def _print_dry_run(summary: PushSummary) -> None:
    if summary.refusals:
        typer.echo(f"{plural(len(summary.refusals), 'entity', 'entities')} would be refused:\n")
        for dead_letter in summary.refusals[:MAX_SHOWN]:
            print_dead_letter(dead_letter)
        if len(summary.refusals) > MAX_SHOWN:
            typer.echo(f"… and {len(summary.refusals) - MAX_SHOWN:,} more: --json lists all.")
    if others := summary.dead_letters - len(summary.refusals):
        typer.echo(f"{plural(others, 'dead letter')} from earlier pushes: `connector dead-letters list` says why.")
    if summary.lookup_forecast is not None and summary.lookup_forecast.looked_at:
        _print_forecast(summary.lookup_forecast)
    typer.echo(
        f"Dry run: nothing was sent, nothing was stored. To look, it made {plural(summary.dry_run_reads, 'read call')}."
    )


def _print_forecast(forecast: LookupForecast) -> None:
    from connector.jobs.lookup_forecast import ONLY_IN_THE_ORG

    if forecast.found_by_key:
        there = ", ".join(forecast.found_by_key[:MAX_SHOWN])
        more = f" and {len(forecast.found_by_key) - MAX_SHOWN:,} more" if len(forecast.found_by_key) > MAX_SHOWN else ""
        typer.echo(f"Found in the org by their key, so not created: {there}{more}.")
    of_all = f" of {forecast.looked_at + forecast.not_looked_at:,}" if forecast.not_looked_at else ""
    typer.echo(
        f"The dry run looked for {plural(forecast.looked_at, 'entity', 'entities')}{of_all} in the org."
        f" Not checked: the org's {ONLY_IN_THE_ORG}."
    )
