"""`connector runs` and `connector undo`: what was written by resyncs, healing and pulls, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.key_argument import key as parse_key
from connector.cli.output import as_json, moment, one_line, table
from connector.cli.runner import run
from connector.cli.time_argument import time
from connector.errors import UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.api.runs import RunField, RunTotals, RunView, RunWrite
    from connector.jobs.push_summary import PushSummary
    from connector.model.undo import Included, UndoPlan, UndoRow

runs_app = typer.Typer(
    help="Runs that write: resyncs, comparisons that heal, pulls and undos, with what each has written.",
    short_help="List what was written by resyncs, healing and pulls.",
)
app.add_typer(runs_app, name="runs")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Name = Annotated[str, typer.Argument(metavar="RUN", help="The run's name, such as resync-12.")]
MAX_SHOWN = 20


@runs_app.command("list", short_help="Runs, the newest first.")
def list_runs(
    kind: Annotated[str | None, typer.Option(help="resync, reconcile, job or undo.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """Runs that may have written, the newest first: resyncs, comparisons that healed, pulls, and undos."""
    from connector.model.run_name import RunKind

    if kind is not None and kind not in set(RunKind):
        raise UsageError(f"--kind: invalid value {kind!r}.", hint=f"Use one of {', '.join(RunKind)}.")
    views = run(_list(kind, limit))
    if json:
        as_json(views)
        return
    if not views:
        typer.echo("No runs.")
        return
    rows = [
        (view.run, moment(view.created_at), view.actor, view.what, _state(view), _counts(view.counts)) for view in views
    ]
    table(("Run", "When", "Who", "What", "State", "Counts"), rows)


@runs_app.command(short_help="What one run has written, field by field.")
def show(
    name: Name,
    limit: Annotated[int, typer.Option(help="How many entities.", min=1, max=5000)] = 100,
    redacted: Annotated[bool, typer.Option("--redacted", help="Without the values of personal data.")] = False,
    json: Json = False,
) -> None:
    """What one run has written: of each field the value before and after, as far as the journal still has them."""
    view, totals, writes, following = run(_show(name, limit, with_personal=not redacted))
    if json:
        as_json({"run": view, "totals": totals, "writes": writes, "after": following})
        return
    _print_run(view, totals)
    for write in writes:
        code = f" ({write.code})" if write.code else ""
        typer.echo(f"{moment(write.at)}  {write.entity} {write.key}: {write.action}{code}")
        for field in write.fields:
            typer.echo(f"    {_field_text(field)}")
    if following is not None:
        typer.echo(f"There is more: --limit {min(10 * limit, 5000)} shows it.")


@app.command(short_help="Put back what a run has written, where nobody has changed it since.")
def undo(
    name: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The run's name, such as resync-12.", show_default=False)
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="KEY", help="Only of this entity; can be repeated.", parser=parse_key, show_default=False
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="NAME", help="Only this field; can be repeated.", show_default=False),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Instead of a run: what was written of --key since then (UTC).",
            metavar="TIME",
            parser=time,
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="And until then (UTC).", metavar="TIME", parser=time, show_default=False)
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="Also what was sent with the run and not because of it (sent_with), or fields in which we would send"
            " another value (differs); can be repeated.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be put back, and change nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Put back what a run has written, where nobody has changed it since, and list what somebody has.

    Look at it first with --dry-run. If the cause was a mapping, correct or roll back the mapping before: a field in
    which we would send another value than the former one stays, and so does what was sent with the run because it was
    changed here meanwhile. --include puts these back, too; our value is not sent then until it is another one. Records
    that the run created stay: cancel or change what they belong to. An undo is a run, so it can be undone. With --since
    and --key it is about all that was written of these in that time, by whatever.
    """
    if (name is None) == (since is None):
        raise UsageError("undo: either RUN or --since is required.", hint="`connector runs list` lists the runs.")
    if since is not None and not keys:
        raise UsageError("--key: required with --since.", hint="Name the orders, customers or products.")
    if until is not None and since is None:
        raise UsageError("--until: only with --since.", hint="Leave it out; a run has its own time.")
    times = {"since": since, "until": until}
    part = {"keys": tuple(keys or ()), "fields": tuple(fields or ()), "included": _included(include or ())}
    plan, summary = run(_undo(name, part | times, dry_run=dry_run))
    if json:
        as_json(_document(plan, summary))
    else:
        _print_plan(plan, dry_run=dry_run)
        if summary is not None:
            typer.echo(f"{plural(summary.writes, 'write call')} and {plural(summary.reads, 'read call')} made.")
            if not summary.complete:
                typer.echo("Not all of it has been sent: `connector status` says why.")
    if summary is not None and not summary.complete:
        raise typer.Exit(1)


def _included(names: Sequence[str]) -> frozenset[Included]:
    from connector.model.undo import Included

    if wrong := [name for name in names if name not in set(Included)]:
        raise UsageError(f"--include: invalid value {wrong[0]!r}.", hint=f"Use one of {', '.join(Included)}.")
    return frozenset(Included(name) for name in names)


def _document(plan: UndoPlan, summary: PushSummary | None) -> dict[str, Any]:
    return {
        "run": plan.run, "plan": plan.id, "counts": dict(plan.counts), "reads": plan.reads,
        "calls_at_most": plan.calls_at_most, "notes": list(plan.notes), "rows": list(plan.rows),
        "sent": summary is not None, "complete": summary is not None and summary.complete,
    }  # fmt: skip


def _state(view: RunView) -> str:
    undone = f", undone by {view.undone_by[0]}" if view.undone_by else ""
    waiting = f", {view.waiting:,} to be sent" if view.waiting else ""
    return f"{view.state}{waiting}{undone}"


def _counts(counts: Any) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)


def _print_run(view: RunView, totals: RunTotals) -> None:
    by = f" by {view.actor}" if view.actor else ""
    typer.echo(f"{view.run}: {view.what}, {_state(view)}, {moment(view.created_at)}{by}")
    figures = {
        "created": totals.created, "updated": totals.updated, "deleted": totals.deleted, "refused": totals.refused,
        "fields taken over": totals.taken, "calls": totals.calls,
    }  # fmt: skip
    if view.error:
        typer.echo(f"  {view.error}")
    more = " at least" if totals.is_partial else ""
    typer.echo(f"  {_counts(figures) or 'nothing was written'}{more}")
    for item in view.left_alone[:MAX_SHOWN]:
        who = f" by {item['who']}" if item.get("who") else ""
        if "field" in item:
            typer.echo(f"  left as it was changed{who}: {item['entity']} {item['key']} {item['field']}")
        else:
            typer.echo(f"  not allowed: {item['why']}")


def _field_text(field: RunField) -> str:
    name = f"{field.sobject} {field.record} {field.field}".rstrip()
    if field.hidden:
        return f"{name}: not shown"
    if field.deleted:
        return f"{name}: deleted" + (f", was {_text(field.before)}" if field.has_before else "")
    before = _text(field.before) if field.has_before else "new" if field.created else "unknown"
    return f"{name}: {before} -> {_text(field.after)}"


def _text(value: object) -> str:
    return "nothing" if value is None else one_line(value)


def _print_plan(plan: UndoPlan, *, dry_run: bool) -> None:
    from connector.model.undo import UndoState

    would = "would be " if dry_run else ""
    restored = plan.to_restore
    typer.echo(f"{plan.run}: {plural(len(restored), 'field')} {would}put back.")
    _print_rows(restored, lambda row: f"{_text(row.now)} -> {_text(row.before)}{_why(row)}")
    words = {
        UndoState.DIFFERS: "in which we would send another value: left as it is, unless --include differs",
        UndoState.SENT_WITH: "sent with it, not because of it: left as it is, unless --include sent_with",
        UndoState.CHANGED: "changed since, and left as it is",
        UndoState.RESTORED: "back already",
        UndoState.CREATED: "created by the run",
        UndoState.FIXED: "not to be put back",
        UndoState.UNKNOWN: "whose former value is not known",
        UndoState.GONE: "no longer there",
    }
    for state, what in words.items():
        rows = [row for row in plan.rows if row.state is state]
        if rows:
            typer.echo(f"{plural(len(rows), 'record' if state is UndoState.CREATED else 'field')} {what}.")
        if state is UndoState.RESTORED:
            continue
        _print_rows(rows, lambda row: f"{_text(row.now)}{_who(row)}{_why(row)}")
    for note in plan.notes:
        typer.echo(note)
    if dry_run and restored:
        typer.echo(f"At most {plural(plan.calls_at_most, 'call')}. Plan {plan.id}; nothing was changed.")


def _print_rows(rows: Sequence[UndoRow], text: Any) -> None:
    for row in rows[:MAX_SHOWN]:
        of = "" if row.record == row.key else f" line {row.record}"
        typer.echo(f"  {row.entity} {row.key}{of} {row.sobject}.{row.field}: {text(row)}".replace(".: ", ": "))
    if len(rows) > MAX_SHOWN:
        typer.echo(f"  … and {len(rows) - MAX_SHOWN:,} more: --json lists all.")


def _who(row: UndoRow) -> str:
    if row.who is None:
        return ""
    return f", by {row.who}" + (f" at {moment(row.at)}" if row.at is not None else "")


def _why(row: UndoRow) -> str:
    return f". {row.why}" if row.why else ""


async def _list(kind: str | None, limit: int) -> list[RunView]:
    from connector.jobs.runs import list_runs
    from connector.model.run_name import RunKind
    from connector.settings import load_settings
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store:
        return await list_runs(store, kind=None if kind is None else RunKind(kind), limit=limit)


async def _show(name: str, limit: int, *, with_personal: bool) -> tuple[RunView, RunTotals, list[RunWrite], int | None]:
    from connector.jobs.runs import get_run, list_writes, total_run
    from connector.settings import load_settings
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store:
        view = await get_run(store, name)
        writes, following = await list_writes(store, name, limit=limit, with_personal=with_personal)
        return view, await total_run(store, view), writes, following


async def _undo(name: str | None, part: dict[str, Any], *, dry_run: bool) -> tuple[UndoPlan, PushSummary | None]:
    from connector.cli.progress import Progress
    from connector.jobs.runs import get_run
    from connector.jobs.undo import carry_out, selection
    from connector.jobs.undo_plan import UndoChoice, plan_undo
    from connector.log import configure
    from connector.service import running_service
    from connector.settings import load_settings
    from connector.store.journal import command_line_actor

    settings = load_settings()
    configure(settings.log_level, **settings.log_options)
    async with running_service(settings) as service:
        chosen_part = UndoChoice(**part)
        if name is not None:
            await get_run(service.store, name)
        plan = await plan_undo(service.inbound_context, name or chosen_part.period, chosen_part)
        if dry_run or await carry_out(service.inbound_context, plan, actor=command_line_actor()) is None:
            return plan, None

        async def chosen(store: object) -> Any:
            return selection(plan)

        with Progress("Undoing") as progress:
            return plan, await service.push(progress, prepare=chosen)
