"""`connector sessions`: who is signed in to the console by OpenID Connect, and ending that."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from connector.cli import app
from connector.cli.key_argument import key
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run
from connector.errors import ConnectorError

sessions = typer.Typer(
    help="People who are signed in to the console by OpenID Connect.", short_help="End sessions of the console."
)
app.add_typer(sessions, name="sessions")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@sessions.command("list", short_help="List who is signed in.")
def list_sessions(json: Json = False) -> None:
    """List who is signed in to the console by OpenID Connect: name, role, and until when."""
    found = run(_list_sessions())
    if json:
        as_json(found)
    elif not found:
        typer.echo("Nobody is signed in by OpenID Connect.")
    else:
        rows = [(item["name"], item["role"], moment(item["created_at"]), moment(item["expires_at"])) for item in found]
        table(("name", "role", "since", "until"), rows)


@sessions.command(short_help="End all sessions of a person.")
def end(name: Annotated[str, typer.Argument(help="As `connector sessions list` shows it.", parser=key)]) -> None:
    """End all sessions of a person at once. To keep them out, take them out of their group at the provider first."""
    count = run(_end(name))
    if not count:
        raise ConnectorError(
            f"Nobody is signed in as {name}.", hint="`connector sessions list` shows who is signed in."
        )
    typer.echo(f"{name} is signed out ({count} session{'' if count == 1 else 's'}).")


async def _list_sessions() -> list[dict[str, Any]]:
    from dataclasses import asdict

    from connector.settings import load_settings
    from connector.store import console_sessions
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return [asdict(item) for item in await console_sessions.list_people(connection, store.clock.now())]


async def _end(name: str) -> int:
    from connector.settings import load_settings
    from connector.store import console_sessions
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.transaction() as uow:
        return await console_sessions.end_of_person(uow, name)
