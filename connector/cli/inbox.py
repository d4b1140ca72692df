"""`connector inbox`: records of the org that could not be applied here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json, moment
from connector.cli.runner import run
from connector.wording import plural

if TYPE_CHECKING:
    from connector.model.inbound_change import InboxItem

inbox_app = typer.Typer(
    help="Records of the org that could not be applied here, and wait for a person.",
    short_help="What of the org could not be applied; apply it again.",
)
app.add_typer(inbox_app, name="inbox")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@inbox_app.command("list", short_help="Every record that could not be applied, why, and what to do.")
def list_parked(json: Json = False) -> None:
    """Every record that could not be applied, why, and what to do; oldest first. Exit status 0 also if there are
    some."""
    items = run(_load())
    if json:
        as_json([asdict(item) for item in items])
        return
    for item in items:
        typer.echo(f"{item.sobject} {item.record_id}, since {moment(item.seen_at)}\n  {item.error}")
        typer.echo(f"  What to do: {item.fix}\n")
    typer.echo(
        f"{plural(len(items), 'record')}. Once fixed: `connector inbox replay`, then `connector pull`."
        if items
        else "Nothing is parked."
    )


@inbox_app.command(short_help="Apply parked records again.")
def replay(
    records: Annotated[
        list[str] | None, typer.Argument(metavar="RECORD-ID…", help="Only these records.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Make parked records due again, all or those with these IDs; the next pull reads and applies them."""
    count = run(_replay(records))
    if json:
        as_json({"replayed": count})
    else:
        typer.echo(
            f"{plural(count, 'record')} due again: `connector pull` applies them." if count else "Nothing to replay."
        )


async def _load() -> list[InboxItem]:
    from connector.settings import load_settings
    from connector.store import inbox
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return await inbox.list_parked(connection)


async def _replay(records: list[str] | None) -> int:
    from connector.settings import load_settings
    from connector.store import inbox
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.transaction() as uow:
        return await inbox.replay(uow, records)
