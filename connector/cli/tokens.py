"""`connector tokens`: creates, lists and revokes tokens for the HTTP API."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from connector.cli import app
from connector.cli.key_argument import key
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run
from connector.errors import ConnectorError, UsageError

tokens = typer.Typer(help="Tokens for the HTTP API.", short_help="Create and revoke tokens for the HTTP API.")
app.add_typer(tokens, name="tokens")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@tokens.command(short_help="Create a token; it is shown only once.")
def create(
    role: Annotated[
        str, typer.Option(help="viewer (reads), ops (acts on orders) or admin (changes the configuration).")
    ],
    name: Annotated[
        str, typer.Option(help="User or program of the token; shown in the history of orders.", parser=key)
    ],
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days until it expires; default: never.")] = None,
    json: Json = False,
) -> None:
    """Create a token and print it. It is shown only once, because only its digest is stored."""
    from connector.model.role import Role

    if role not in set(Role):
        raise UsageError(f"--role: invalid role {role!r}.", hint="Use one of viewer, ops, admin.")
    secret = run(_create(name, Role(role), days))
    if json:
        as_json({"name": name, "role": role, "token": secret})
    else:
        typer.echo(secret)
        typer.echo("It is not shown again.", err=True)


@tokens.command(short_help="Print a link that signs a person in to the console, once.")
def link(
    name: Annotated[str, typer.Argument(help="As `connector tokens list` shows it.", parser=key)],
    json: Json = False,
) -> None:
    """Print a link that signs a person in to the console as this token. It works once, within ten minutes.

    It begins with CONNECTOR_HTTP__PUBLIC_URL, or with where `connector serve` listens.
    """
    address = run(_make_link(name))
    if json:
        as_json({"name": name, "link": address})
    else:
        typer.echo(address)
        typer.echo("It works once, within ten minutes.", err=True)


@tokens.command("list", short_help="List tokens, without their secrets.")
def list_tokens(json: Json = False) -> None:
    """List tokens: name, role, and when each was last used."""
    tokens = run(_list_tokens())
    if json:
        as_json(tokens)
    elif not tokens:
        typer.echo("There are no tokens: `connector tokens create` creates one.")
    else:
        names = ("created_at", "expires_at", "revoked_at", "used_at")
        rows = [
            (item["name"], item["role"], *(moment(item[name]) if item[name] else "" for name in names))
            for item in tokens
        ]
        table(("name", "role", "created", "expires", "revoked", "last used"), rows)


@tokens.command(short_help="Revoke a token at once.")
def revoke(name: Annotated[str, typer.Argument(help="As `connector tokens list` shows it.", parser=key)]) -> None:
    """Revoke a token at once. This cannot be undone."""
    if not run(_revoke(name)):
        raise ConnectorError(f"There is no valid token {name}.", hint="`connector tokens list` shows all tokens.")
    typer.echo(f"The token {name} is revoked.")


async def _create(name: str, role: Any, days: int | None) -> str:
    from connector.settings import load_settings
    from connector.store import tokens as store_tokens
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.transaction() as uow:
        expires_at = uow.now + timedelta(days=days) if days else None
        return await store_tokens.create(uow, name, role, expires_at=expires_at)


async def _make_link(name: str) -> str:
    from connector.settings import load_settings
    from connector.store import console_sessions, journal
    from connector.store import tokens as store_tokens
    from connector.store.schema import open_store

    settings = load_settings()
    async with open_store(settings) as store, store.transaction() as uow:
        token = await store_tokens.get(uow.connection, name)
        if token is None or not token.valid(uow.now):
            raise ConnectorError(f"There is no valid token {name}.", hint="`connector tokens list` shows all tokens.")
        secret = await console_sessions.make_link(uow, name, actor=journal.command_line_actor())
    http = settings.http
    return f"{str(http.public_url or f'http://{http.host}:{http.port}').rstrip('/')}/signin?link={secret}"


async def _list_tokens() -> list[dict[str, Any]]:
    from dataclasses import asdict

    from connector.settings import load_settings
    from connector.store import tokens as store_tokens
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return [asdict(token) for token in await store_tokens.list_all(connection)]


async def _revoke(name: str) -> bool:
    from connector.settings import load_settings
    from connector.store import tokens as store_tokens
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.transaction() as uow:
        return await store_tokens.revoke(uow, name)
