"""`connector resyncs`: entities that the service sends, reads or compares again, in the background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.key_argument import key as parse_key
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run
from connector.cli.time_argument import time
from connector.errors import ConnectorError, UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.resync_request import ResyncPreview, ResyncView
    from connector.model.resync import ResyncFilter

resyncs_app = typer.Typer(
    help="Resyncs that the service works off in the background: sends, reads or compares entities again.",
    short_help="Resync by filter, in the background.",
)
app.add_typer(resyncs_app, name="resyncs")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Id = Annotated[int, typer.Argument(help="The resync's number, from `resyncs list`.", min=1)]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="KEY", help="Only this one; can be repeated.", show_default=False, parser=parse_key),
]


def _text(help_text: str) -> object:
    return typer.Option(help=help_text, show_default=False)


def _time(help_text: str) -> object:
    return typer.Option(help=help_text, metavar="TIME", parser=time, show_default=False)


@resyncs_app.command(short_help="Ask the service to resync entities.")
def start(
    entity: Annotated[str, typer.Argument(help="customer, product or order; return: of refused ones.")],
    keys: Keys = None,
    customer: Annotated[str | None, _text("Only orders of this customer.")] = None,
    stage: Annotated[str | None, _text("Only orders in this stage.")] = None,
    channel: Annotated[str | None, _text("Only orders of this channel.")] = None,
    changed_since: Annotated[datetime | None, _time("Only those changed here since then (UTC).")] = None,
    changed_until: Annotated[datetime | None, _time("Only those changed here before then (UTC).")] = None,
    refused_since: Annotated[datetime | None, _time("Only those refused since then (UTC).")] = None,
    refused_until: Annotated[datetime | None, _time("Only those refused before then (UTC).")] = None,
    error: Annotated[str | None, _text("Only those that were refused with this error code.")] = None,
    mapping_version: Annotated[
        int | None, typer.Option(help="Only those not sent since this version of the mappings.", show_default=False)
    ] = None,
    org: Annotated[str | None, _text("Only those in the org of this name; `default` for the default one.")] = None,
    mode: Annotated[str, typer.Option(help="push: send; pull: read and apply; compare: only count.")] = "push",
    priority: Annotated[str, typer.Option(help="low: behind all that is due; high: with new changes.")] = "low",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would come to.")] = False,
    json: Json = False,
) -> None:
    """Ask the service to send, read or compare entities again, chosen by what is given; without a filter all of a kind.

    It works them off batch by batch; `resyncs show` says how far it is, and `resyncs pause`, `resume` and `cancel` act
    between two batches. Unchanged entities cost no write call. `connector resync` does the same in the foreground.
    """
    from connector.model.resync import ResyncFilter

    chosen = ResyncFilter(
        keys=tuple(dict.fromkeys(keys or ())),
        customer=customer,
        stage=stage,
        channel=channel,
        changed_since=changed_since,
        changed_until=changed_until,
        refused_since=refused_since,
        refused_until=refused_until,
        error=error,
        mapping_version=mapping_version,
        org=org,
    )
    preview, resync, note = run(_start(entity, chosen, mode=mode, priority=priority, dry_run=dry_run))
    if json:
        as_json({"preview": asdict(preview), "resync": None if resync is None else asdict(resync)})
        return
    names = ", ".join(preview.sample[:5]) + (", …" if preview.count > 5 else "")
    typer.echo(f"{plural(preview.count, preview.entity)}{f': {names}' if preview.sample else ''}.")
    if preview.unknown_keys:
        typer.echo(f"No such {preview.entity} is here: {', '.join(preview.unknown_keys)}.")
    typer.echo(f"At most {plural(preview.calls_at_most, 'call')} and {preview.minutes_at_most:g} minutes.")
    if resync is not None:
        where = f"`connector resyncs show {resync.id}` says how far it is."
        typer.echo(f"Resync {resync.id} waits for a worker; {where}{note}")


@resyncs_app.command("list", short_help="Resyncs, the newest first.")
def list_resyncs(
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=1000)] = 20, json: Json = False
) -> None:
    """Resyncs, the newest first, with how far they are."""
    views = run(_list(limit))
    if json:
        as_json([asdict(view) for view in views])
        return
    if not views:
        typer.echo("No resyncs.")
        return
    rows = [
        (view.id, view.mode, view.entity, _filter(view.filter), view.state, f"{view.done} of {view.total}", view.failed)
        for view in views
    ]
    table(("ID", "Mode", "Entity", "Filter", "State", "Done", "Failed"), rows)


@resyncs_app.command(short_help="One resync: how far it is, its rate, the time left.")
def show(resync_id: Id, json: Json = False) -> None:
    """One resync: what it is about, how far it is, its rate and the time left."""
    _print(run(_show(resync_id)), json=json)


@resyncs_app.command(short_help="Begin no further batch.")
def pause(resync_id: Id, json: Json = False) -> None:
    """Begin no further batch until `resyncs resume`."""
    _print(run(_change(resync_id, "pause")), json=json)


@resyncs_app.command(short_help="Go on where it was paused.")
def resume(resync_id: Id, json: Json = False) -> None:
    """Go on where it was paused."""
    _print(run(_change(resync_id, "resume")), json=json)


@resyncs_app.command(short_help="End a resync.")
def cancel(resync_id: Id, json: Json = False) -> None:
    """Begin no further batch. What the last batch made due is still sent."""
    _print(run(_change(resync_id, "cancel")), json=json)


def _filter(chosen: Mapping[str, object]) -> str:
    texts = {name: " ".join(value) if isinstance(value, list) else value for name, value in chosen.items()}
    return ", ".join(f"{name}={text}" for name, text in texts.items()) or "all"


def _print(view: ResyncView, *, json: bool) -> None:
    if json:
        as_json(asdict(view))
        return
    typer.echo(f"Resync {view.id} ({view.mode} {view.entity}, {_filter(view.filter)}): {view.state}")
    typer.echo(f"  {view.done} of {view.total} done, {view.failed} failed")
    for name, count in sorted(view.counts.items()):
        typer.echo(f"  {name}: {count}")
    if view.rate is not None:
        left = "" if view.seconds_left is None else f", {view.seconds_left:.0f} s left"
        typer.echo(f"  {view.rate:g} a second{left}")
    typer.echo(f"  asked for by {view.actor} at {moment(view.created_at)}")
    if view.error:
        typer.echo(f"  {view.error}")


async def _start(
    entity: str, chosen: ResyncFilter, *, mode: str, priority: str, dry_run: bool
) -> tuple[ResyncPreview, ResyncView | None, str]:
    """What was chosen, the resync, and that nobody is there to do it."""
    from connector.jobs.job_obstacles import note_missing_role
    from connector.jobs.resync_request import preview_resync, request_resync, view_resync
    from connector.model.change import EntityKind
    from connector.model.resync import Priority, ResyncMode
    from connector.settings import load_settings
    from connector.store.journal import command_line_actor
    from connector.store.schema import open_store

    for option, value, allowed in (
        ("ENTITY", entity, EntityKind), ("--mode", mode, ResyncMode), ("--priority", priority, Priority),
    ):  # fmt: skip
        if value not in set(allowed):
            raise UsageError(f"{option}: invalid value {value!r}.", hint=f"Use one of {', '.join(allowed)}.")
    settings = load_settings()
    kind, resync_mode = EntityKind(entity), ResyncMode(mode)
    async with open_store(settings) as store:
        preview = await preview_resync(store, kind, chosen, resync_mode, partitions=settings.sync.partitions)
        if dry_run:
            return preview, None, ""
        made = await request_resync(store, preview, priority=Priority(priority), actor=command_line_actor())
        return preview, view_resync(made, store.clock.now()), await note_missing_role(store, "worker")


async def _list(limit: int) -> list[ResyncView]:
    from connector.jobs.resync_request import view_resync
    from connector.settings import load_settings
    from connector.store import resyncs
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return [view_resync(item, store.clock.now()) for item in await resyncs.list_page(connection, limit=limit)]


async def _show(number: int) -> ResyncView:
    from connector.jobs.resync_request import view_resync
    from connector.settings import load_settings
    from connector.store import resyncs
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        found = await resyncs.get(connection, number)
        if found is None:
            raise ConnectorError(f"There is no resync {number}.", hint="`connector resyncs list` lists them.")
        return view_resync(found, store.clock.now())


async def _change(number: int, action: str) -> ResyncView:
    from connector.jobs.resync_request import change_resync, view_resync
    from connector.settings import load_settings
    from connector.store.journal import command_line_actor
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store:
        changed = await change_resync(store, number, action, actor=command_line_actor())
        return view_resync(changed, store.clock.now())
