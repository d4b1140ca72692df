"""`connector actions` and `connector events`: what reps asked for in the org, and what we publish there."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json, moment
from connector.cli.runner import run
from connector.errors import UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.model.action_request import ActionState, ReceivedAction
    from connector.model.outgoing_event import OutgoingEvent

actions_app = typer.Typer(
    help="What people asked of orders in the org by a platform event.",
    short_help="What reps asked for in the org, and what they were answered.",
)
app.add_typer(actions_app, name="actions")
events_app = typer.Typer(
    help="Platform events that we publish to the org.",
    short_help="Events that the org refused; publish them again.",
)
app.add_typer(events_app, name="events")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
STATES = ("accepted", "refused", "parked")


@actions_app.command("list", short_help="The latest actions, newest first.")
def list_actions(
    order: Annotated[str | None, typer.Option(help="Only actions on this order.")] = None,
    state: Annotated[str | None, typer.Option(help="Only actions in this state: accepted, refused or parked.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    json: Json = False,
) -> None:
    """The latest actions that reps asked for in the org, and what they were answered. They are kept for
    CONNECTOR_RETENTION__ACTION_DAYS, 30 by default."""
    if state is not None and state not in STATES:
        raise UsageError(f"--state: {state!r} is no state.", hint=f"Use one of {', '.join(STATES)}.")
    items = run(_load_actions(order, state, limit))
    if json:
        as_json([asdict(item) for item in items])
        return
    for item in items:
        request = item.request
        what = f"{request.order or '?'}  {request.action or '?'}"
        typer.echo(f"{moment(item.received_at)}  {what}  by {item.who}: {item.state}")
        typer.echo(f"  {item.message}")
    if not items:
        typer.echo("No actions.")


@events_app.command("list", short_help="Every event that the org refused, and why.")
def list_refused(json: Json = False) -> None:
    """Every event that the org refused again and again, and why; oldest first. Exit status 0 also if there are some."""
    items = run(_load_refused())
    if json:
        as_json([asdict(item) for item in items])
        return
    for item in items:
        typer.echo(f"{item.event.name} {item.event.id}, since {moment(item.captured_at)}\n  {item.error}")
    typer.echo(
        f"{plural(len(items), 'event')} refused. Once the cause is corrected in the org: `connector events replay`."
        if items
        else "No event is refused."
    )


@events_app.command(short_help="Publish refused events again.")
def replay(json: Json = False) -> None:
    """Make every refused event due again; a running `connector serve` or `connector listen` publishes it."""
    count = run(_replay())
    if json:
        as_json({"replayed": count})
    else:
        typer.echo(f"{plural(count, 'event')} due again." if count else "Nothing to replay.")


async def _load_actions(order: str | None, state: str | None, limit: int) -> list[ReceivedAction]:
    from connector.model.action_request import ActionState
    from connector.settings import load_settings
    from connector.store import order_actions
    from connector.store.schema import open_store

    chosen: ActionState | None = None if state is None else ActionState(state)
    async with open_store(load_settings()) as store, store.reader() as connection:
        return await order_actions.list_latest(connection, order=order, state=chosen, limit=limit)


async def _load_refused() -> list[OutgoingEvent]:
    from connector.settings import load_settings
    from connector.store import outgoing_events
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return await outgoing_events.list_refused(connection)


async def _replay() -> int:
    from connector.settings import load_settings
    from connector.store import outgoing_events
    from connector.store.journal import command_line_actor
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.transaction() as uow:
        return await outgoing_events.replay(uow, actor=command_line_actor())
