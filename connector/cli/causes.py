"""`connector dead-letters assign | snooze | note | closed`: working on causes of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.dead_letters import Json, dead_letters_app
from connector.cli.key_argument import key as parse_key
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run
from connector.errors import UsageError

if TYPE_CHECKING:
    from connector.model.cause import Cause

CauseName = Annotated[str, typer.Argument(metavar="CAUSE", help="As `dead-letters list --by-cause` names it.")]


@dead_letters_app.command(short_help="Say whose a cause is.")
def assign(
    cause: CauseName,
    name: Annotated[str | None, typer.Argument(help="Who looks after it; nothing: nobody.", parser=parse_key)] = None,
) -> None:
    """Assign a cause of dead letters to somebody, or to nobody."""
    run(_work(cause, assignee=name))
    typer.echo(f"Cause {cause} is {name}'s." if name else f"Cause {cause} is nobody's.")


@dead_letters_app.command(short_help="Hide a cause for some hours.")
def snooze(
    cause: CauseName,
    hours: Annotated[float | None, typer.Option(min=0.01, max=2160, help="For how long.", show_default=False)] = None,
    wake: Annotated[bool, typer.Option("--wake", help="Show it again.")] = False,
) -> None:
    """Hide a cause of dead letters from the first page of the console and from alerts. It comes back when the time is
    over, or when it has grown."""
    if wake is (hours is not None):
        raise UsageError("dead-letters snooze: one of --hours and --wake is required.", hint="Give --hours 4, say.")
    until = run(_snooze(cause, hours))
    typer.echo(f"Cause {cause} is snoozed until {moment(until)}." if until else f"Cause {cause} is awake.")


@dead_letters_app.command(short_help="Write something down about a cause.")
def note(cause: CauseName, text: Annotated[str, typer.Argument(help="Nothing empties it.")]) -> None:
    """Keep a note with a cause of dead letters. Ops and admins see it."""
    run(_work(cause, note=text.strip() or None))
    typer.echo(f"Noted with cause {cause}." if text.strip() else f"Cause {cause} has no note.")


@dead_letters_app.command(short_help="List causes of which nothing is left.")
def closed(json: Json = False) -> None:
    """List causes of dead letters that are closed: who, how, when; the newest 200."""
    found = run(_closed())
    if json:
        from dataclasses import asdict

        as_json([asdict(item) for item in found])
    elif not found:
        typer.echo("No cause was closed lately.")
    else:
        rows = [
            (
                moment(item.closed_at) if item.closed_at else "", item.closed_how or "", item.closed_by or "",
                item.entity, item.code, item.field or "", str(item.most), item.assignee or "",
            )
            for item in found
        ]  # fmt: skip
        table(("closed", "how", "by", "entity", "code", "field", "at most", "whose"), rows)


async def _work(cause: str, **values: Any) -> None:
    from connector.jobs.triage import CauseWork, work_on_cause
    from connector.settings import load_settings
    from connector.store.journal import command_line_actor
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store:
        work = CauseWork(names=frozenset(values), **values)
        await work_on_cause(store, cause, work, actor=command_line_actor())


async def _snooze(cause: str, hours: float | None) -> Any:
    from datetime import timedelta

    from connector.clock import SystemClock

    until = None if hours is None else SystemClock().now() + timedelta(hours=hours)
    await _work(cause, snoozed_until=until)
    return until


async def _closed() -> list[Cause]:
    from connector.settings import load_settings
    from connector.store import causes
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return await causes.list_closed(connection, limit=200)
