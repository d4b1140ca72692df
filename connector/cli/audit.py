"""`connector audit`: what operators did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run

if TYPE_CHECKING:
    from connector.api.audit import AuditView

MAX_LISTED = 1000


@app.command(short_help="List what operators did: tokens, jobs, resyncs, dead letters, conflicts, links.")
def audit(
    actor: Annotated[str | None, typer.Option(help="Only by this token or user.", show_default=False)] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as replayed.", show_default=False)] = None,
    entity: Annotated[
        str | None, typer.Option(help="Only with this kind of thing: token, job, order, …", show_default=False)
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only with this key of it.", show_default=False)] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Only the last so many.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="How many, the newest first.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """List what operators did, over HTTP and by commands, the newest first. What was done to orders is in
    `connector show order`."""
    found = run(_load({"actor": actor, "action": action, "entity": entity, "key": key}, hours, limit))
    if json:
        as_json(found)
    elif not found:
        typer.echo("Nothing of the kind was done.")
    else:
        rows = [(moment(item.at), item.actor, item.action, f"{item.entity} {item.key}", _text(item)) for item in found]
        table(("when", "who", "what", "of", "more"), rows)


def _text(item: AuditView) -> str:
    from connector.api.audit import readable_detail

    return "; ".join(f"{name}: {text}" for name, text in readable_detail(item.detail))


async def _load(chosen: dict[str, Any], hours: float | None, limit: int) -> list[AuditView]:
    from connector.api.audit import view_action
    from connector.settings import load_settings
    from connector.store import journal
    from connector.store.journal import AuditFilter
    from connector.store.schema import open_store

    since = None if hours is None else datetime.now(UTC) - timedelta(hours=hours)
    async with open_store(load_settings()) as store, store.reader() as connection:
        found = await journal.list_actions(connection, AuditFilter(**chosen, since=since), limit=limit)
    return [view_action(item) for item in found]
