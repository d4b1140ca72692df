"""`connector reconcile`: compares both sides, and says what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.key_argument import key
from connector.cli.output import as_json, moment, table
from connector.cli.progress import Progress
from connector.cli.runner import run
from connector.errors import UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.reconcile import ReconcileOptions, ReconcileSummary
    from connector.model.reconciliation import Finding, Reconciliation

MAX_SHOWN = 20
MAX_FIELDS = 10
LONGEST_VALUE = 40


@app.command(short_help="Compare both sides, and report what differs.")
def reconcile(
    entity: Annotated[
        list[str] | None,
        typer.Option(
            "--entity",
            metavar="ENTITY",
            help="Only customer, product, order or return; may be repeated.",
            show_default=False,
        ),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="KEY", help="Only this key of the entity; may be repeated.", show_default=False, parser=key
        ),
    ] = None,
    limit_report: Annotated[
        int, typer.Option("--limit-report", min=0, max=10_000, help="How many differences are listed and kept.")
    ] = 100,
    heal: Annotated[
        bool, typer.Option("--heal", help="Heal what differs, by the owner of each field, and compare it again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many calls it takes, and compare nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Compare all entities with their records in the org, field by field, and report what differs.

    What is on its way is no difference: a change that is due here, or was just made in the org. The result is kept, and
    `connector status` shows it. With --heal, what is owned here is sent, what the org owns is applied here, and what
    both sides changed is merged; then it is compared again. Exit status 1 if something differs or waits for a person.
    """
    from connector.log import configure
    from connector.service import running_service
    from connector.settings import load_settings

    options = _options(entity or [], keys or [], limit=limit_report, dry_run=dry_run, heal=heal)
    settings = load_settings()
    configure(settings.log_level, **settings.log_options)

    def announce(summary: ReconcileSummary) -> None:
        if not json:
            print_plan(summary)

    async def work() -> ReconcileSummary:
        async with running_service(settings) as service:
            with Progress("Reconciling") as progress:
                return await service.reconcile(options, progress, announce=announce)

    summary = run(work())
    if json:
        as_json(reconcile_document(summary))
    elif not dry_run:
        print_reconciliation(summary)
    if not summary.in_sync:
        raise typer.Exit(1)


def _options(entities: list[str], keys: list[str], *, limit: int, dry_run: bool, heal: bool) -> ReconcileOptions:
    from connector.jobs.reconcile import ReconcileOptions
    from connector.model.change import EntityKind

    for name in entities:
        if name not in set(EntityKind):
            raise UsageError(f"--entity: invalid value {name!r}.", hint="Use one of customer, product, order, return.")
    kinds = list(dict.fromkeys(EntityKind(name) for name in entities))
    if keys and len(kinds) != 1:
        raise UsageError("--key: --entity is required with it, once.", hint="Name the entity that has the key.")
    unique_keys = list(dict.fromkeys(keys))
    return ReconcileOptions(selection=dict.fromkeys(kinds, unique_keys), limit=limit, dry_run=dry_run, heal=heal)


def print_plan(summary: ReconcileSummary) -> None:
    """Print what the comparison costs."""
    if summary.plans:
        rows = [
            (plan.sobject, plan.records, "bulk query" if plan.bulk else "query", plan.calls) for plan in summary.plans
        ]
        table(("Object", "records", "read by", "further calls"), rows)
    calls = plural(summary.expected_calls, "read call")
    typer.echo(f"About {calls}, and one for each 200 to 2,000 records that differ.")
    if summary.dry_run:
        typer.echo("Dry run: nothing was compared, nothing was stored.")


def print_reconciliation(summary: ReconcileSummary) -> None:
    """Print the result for a person."""
    from connector.model.reconciliation import RecordState

    result = summary.result
    shown = [state for state in RecordState if any(counts[state] for counts in result.counts.values())]
    rows = [(entity, *(counts[state] for state in shown)) for entity, counts in result.counts.items()]
    if rows:
        table(("Entity", *(state.replace("_", " ") for state in shown)), rows)
    if result.fields:
        table(("Field", "drifted"), result.fields.most_common(MAX_FIELDS))
    for finding in result.findings[:MAX_SHOWN]:
        _print_finding(finding)
    _print_unlisted(result)
    shown_open = [item for item in result.open if item.state is not RecordState.NOT_SYNCED][:MAX_SHOWN]
    for finding in shown_open:
        _print_finding(finding)
    if len(result.open) > len(shown_open):
        typer.echo(f"{plural(len(result.open), 'record')} not verified for a reason: --json lists them.")
    if summary.healing is not None and summary.healing.differences:
        typer.echo(f"{summary.healing.healed:,} of {plural(summary.healing.differences, 'difference')} healed.")
    assert summary.verified_at is not None
    typer.echo(f"{result.verified:,} of {result.total():,} verified at {moment(summary.verified_at)}.")
    writes = f" and {plural(summary.writes, 'write call')}" if summary.writes else ""
    typer.echo(f"{plural(summary.calls, 'read call')}{writes} made, in {summary.seconds:.1f} s.")


def _print_unlisted(result: Reconciliation) -> None:
    """Say how many differences are not printed. Parts that differ like the whole are counted, not listed."""
    listed = len(result.findings)
    if listed > MAX_SHOWN:
        typer.echo(f"… and {listed - MAX_SHOWN:,} more: --json lists them.")
    unlisted = result.differing - listed
    if unlisted > 0 and listed < result.limit:
        typer.echo(f"Not listed: {plural(unlisted, 'part')} (lines, prices) of what is listed.")
    elif unlisted > 0:
        typer.echo(f"Not listed: {plural(unlisted, 'difference')}, beyond --limit-report or parts of what is listed.")


def _print_finding(finding: Finding) -> None:
    what = f"{finding.entity} {finding.key}" if finding.key else f"{finding.sobject} {finding.record_id}"
    detail = f": {finding.detail}" if finding.detail else ""
    typer.echo(f"{what}, {finding.state.replace('_', ' ')}{detail}")
    for field in finding.fields[:MAX_FIELDS]:
        typer.echo(
            f"  {finding.sobject}.{field.field}: here {_short(field.local)}, in the org {_short(field.remote)}"
            f" (owner {field.owner}, heals by {field.healing})"
        )


def _short(value: object) -> str:
    if value is None:
        return "empty"
    text = str(value)
    return repr(text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…")


def reconcile_document(summary: ReconcileSummary) -> dict[str, Any]:
    """The summary as one JSON object."""
    from connector.model.reconciliation import RecordState

    result = summary.result
    return {
        "dry_run": summary.dry_run,
        "org": summary.org_id,
        "full": summary.full,
        "plan": {
            "calls": summary.expected_calls,
            "objects": [
                {"sobject": plan.sobject, "records": plan.records, "bulk": plan.bulk, "calls": plan.calls}
                for plan in summary.plans
            ],
        },
        "api_calls": {"reads": summary.calls, "writes": summary.writes},
        "healing": None
        if summary.healing is None
        else {"differences": summary.healing.differences, "healed": summary.healing.healed},
        "entities": {
            entity: {state.value: counts[state] for state in RecordState} for entity, counts in result.counts.items()
        },
        "verified": result.verified,
        "total": result.total(),
        "verified_at": summary.verified_at,
        "fields": dict(result.fields.most_common()),
        "findings": [finding_document(finding) for finding in result.findings],
        "open": [finding_document(finding) for finding in result.open],
        "differing": result.differing,
        "in_sync": None if summary.dry_run else summary.in_sync,
        "seconds": round(summary.seconds, 3),
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "entity": finding.entity,
        "key": finding.key,
        "state": finding.state.value,
        "sobject": finding.sobject,
        "record_id": finding.record_id,
        "detail": finding.detail or None,
        "fields": [
            {
                "field": field.field,
                "owner": field.owner,
                "local": field.local,
                "salesforce": field.remote,
                "base": field.base if field.has_base else None,
                "has_base": field.has_base,
                "heals_by": field.healing.value,
            }
            for field in finding.fields
        ],
    }
