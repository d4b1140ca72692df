"""`connector db upgrade` and `connector status`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from connector.cli import app
from connector.cli.output import as_json, table

db = typer.Typer(no_args_is_help=True, help="The connector's own database.", rich_markup_mode=None)
app.add_typer(db, name="db")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@db.command()
def upgrade(json: Json = False) -> None:
    """Create the database, or bring it to this version of the program. Run it again whenever you like."""
    from connector.settings import load_settings
    from connector.store import schema
    from connector.store.engine import Store

    async def run() -> tuple[str | None, str | None, str]:
        store = Store.open(load_settings().database_url)
        try:
            before = await schema.current(store)
            await schema.upgrade(store)
            return before, await schema.current(store), store.address
        finally:
            await store.close()

    before, after, address = asyncio.run(run())
    if json:
        as_json({"database": address, "before": before, "after": after})
    elif before == after:
        typer.echo(f"{address} is up to date.")
    else:
        typer.echo(f"{address} is ready.")


@app.command()
def status(
    json: Json = False,
    health: Annotated[bool, typer.Option("--health", help="Only check that the database can be used.")] = False,
) -> None:
    """What is in the database, what the org has of it, what is waiting and what was refused.

    Exit status 1 if something is not in sync; with --health only if the database cannot be used.
    """
    document = asyncio.run(_status())
    if json:
        as_json(document)
    else:
        rows = [(kind, *numbers.values()) for kind, numbers in document["entities"].items()]
        table(("Entity", "here", "in the org", "due", "dead", "blocked"), rows)
        for text in _remarks(document):
            typer.echo(text)
    if not health and not document["in_sync"]:
        raise typer.Exit(1)


async def _status() -> dict[str, Any]:
    from connector.model.change import ChangeState, EntityKind
    from connector.service import opened
    from connector.settings import load_settings
    from connector.store import catalog, customers, links, orders, outbox, products

    async with opened(load_settings()) as store, store.reader() as connection:
        here = {
            EntityKind.CUSTOMER: await customers.count(connection),
            EntityKind.PRODUCT: await products.count(connection),
            EntityKind.ORDER: await orders.count(connection),
        }
        org = await catalog.latest(connection)
        linked = await links.count(connection, org.org_id) if org else {}
        unsent = await outbox.counts(connection)
        oldest = await outbox.oldest(connection)
        return {
            "database": store.address,
            "org": org.org_id if org else None,
            "entities": {
                kind.value: {
                    "here": here[kind],
                    "in_org": linked.get(kind.value, 0),
                    "due": unsent[kind][ChangeState.DUE],
                    "dead": unsent[kind][ChangeState.DEAD],
                    "blocked": unsent[kind][ChangeState.BLOCKED],
                }
                for kind in EntityKind
            },
            "oldest_unsent": oldest,
            "in_sync": not any(unsent[kind][state] for kind in EntityKind for state in ChangeState),
        }


def _remarks(document: dict[str, Any]) -> list[str]:
    remarks = []
    if document["org"] is None:
        remarks.append("No org has been reached yet; `connector push` does.")
    if document["oldest_unsent"] is not None:
        remarks.append(f"The oldest change has been waiting since {document['oldest_unsent']:%Y-%m-%d %H:%M:%S} UTC.")
    if any(numbers["dead"] for numbers in document["entities"].values()):
        remarks.append("`connector dead-letters list` says what was refused, and why.")
    if document["in_sync"]:
        remarks.append("In sync.")
    return remarks
