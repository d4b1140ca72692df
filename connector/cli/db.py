"""`connector db upgrade` and `connector db prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json
from connector.cli.runner import run

if TYPE_CHECKING:
    from connector.store.engine import Store

db = typer.Typer(help="The connector's own database.", short_help="Create or upgrade the connector's own database.")
app.add_typer(db, name="db")

MOST_LISTED = 20
"""Renamed keys that are listed one by one."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@db.command(short_help="Create the database, or upgrade it.")
def upgrade(json: Json = False) -> None:
    """Create the database, or upgrade it to this version of the program. It is safe to run it again.

    CONNECTOR_DATABASE_URL names the database; the default is the SQLite file connector.db in the current folder.
    """
    from connector.settings import load_settings
    from connector.store import derived_rows, schema
    from connector.workers.upgrade import upgrade_engine

    async def work() -> tuple[str | None, str | None, str, list[str]]:
        settings = load_settings()
        store = schema.store_of(settings)
        try:
            before = await schema.current(store)
            last_id = await _find_last_journal_id(store) if before else 0
            await schema.upgrade(store)
            await upgrade_engine(settings)
            after = await schema.current(store)
            if before and before != after:
                await derived_rows.repair(store)
            renamed = await _list_renamed_keys(store, last_id) if before and before != after else []
            return before, after, store.address, renamed
        finally:
            await store.close()

    before, after, address, renamed = run(work())
    if json:
        as_json({"database": address, "before": before, "after": after, "renamed": renamed})
    elif before is None:
        typer.echo(f"{address} is ready. Next: `connector import PATH` brings orders in.")
    elif before == after:
        typer.echo(f"{address} is up to date.")
    else:
        typer.echo(
            f"{address} was upgraded from revision {before} to {after}. Restart `connector serve` and"
            " `python -m scheduler` now: those of an earlier release must not continue."
        )
        for text in renamed[:MOST_LISTED]:
            typer.echo(text)
        if len(renamed) > MOST_LISTED:
            typer.echo(f"And {len(renamed) - MOST_LISTED:,} more: `connector show` shows the former key of each.")


@db.command(short_help="Delete what nobody needs any more.")
def prune(json: Json = False) -> None:
    """Delete what is done with and older than CONNECTOR_RETENTION__* says: sent and failed webhook notices, answered
    actions of reps, refused events, resolved conflicts, and the history of topics. What waits for a person or for the
    org stays. A running service does so every hour.
    """
    from connector.jobs.prune import prune as delete_expired
    from connector.settings import load_settings
    from connector.store.schema import open_store

    async def work() -> dict[str, int]:
        settings = load_settings()
        async with open_store(settings) as store:
            return await delete_expired(store, settings)

    deleted = run(work())
    if json:
        as_json({"deleted": deleted})
    elif not any(deleted.values()):
        typer.echo("Nothing is older than its retention.")
    for kind, number in deleted.items():
        if number and not json:
            typer.echo(f"{kind.replace('_', ' ').capitalize()}: {number:,} deleted.")


async def _find_last_journal_id(store: Store) -> int:
    """The number of the journal's last entry."""
    from connector.store import journal

    async with store.reader() as connection:
        return await journal.find_last_id(connection)


async def _list_renamed_keys(store: Store, after_id: int) -> list[str]:
    """Return a line for each entity that got another key after this journal entry, because its key had several
    spellings."""
    from connector.store import journal

    async with store.reader() as connection:
        entries = await journal.list_renamed_keys(connection, after_id)
    return [
        f"{item.entity.capitalize()} {item.old_key!r} is {item.key} from now on: {item.reason}." for item in entries
    ]
