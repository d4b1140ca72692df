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

tokens = typer.Typer(help="Tokens for the HTTP API.", short_help="Say who may use the HTTP API.")
app.add_typer(tokens, name="tokens")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@tokens.command(short_help="Make a token; it is shown this once.")
def create(
    role: Annotated[str, typer.Option(help="viewer (reads), ops (acts on orders), admin (changes how it works).")],
    name: Annotated[str, typer.Option(help="Whose it is; stands in the history of what was done with it.", parser=key)],
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="How long it is good for; else until revoked.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a token and print it, this once: only a digest of it is kept."""
    from connector.model.role import Role

    if role not in set(Role):
        raise UsageError(f"invalid role: {role!r}.", hint="Use one of viewer, ops, admin.")
    secret = run(_create(name, Role(role), days))
    if json:
        as_json({"name": name, "role": role, "token": secret})
    else:
        typer.echo(secret)


@tokens.command("list", short_help="Every token, without what it is.")
def list_tokens(json: Json = False) -> None:
    """Names, roles, and when each was last used."""
    tokens = run(_list_tokens())
    if json:
        as_json(tokens)
    elif not tokens:
        typer.echo("There are no tokens: `connector tokens create` makes one.")
    else:
        names = ("created_at", "expires_at", "revoked_at", "used_at")
        rows = [
            (item["name"], item["role"], *(moment(item[name]) if item[name] else "" for name in names))
            for item in tokens
        ]
        table(("name", "role", "created", "expires", "revoked", "last used"), rows)


@tokens.command(short_help="End a token at once.")
def revoke(name: Annotated[str, typer.Argument(help="As `connector tokens list` names it.", parser=key)]) -> None:
    """End a token at once; there is no way back."""
    if not run(_revoke(name)):
        raise ConnectorError(f"There is no token {name} in force.", hint="`connector tokens list` names them.")
    typer.echo(f"The token {name} is revoked.")


async def _create(name: str, role: Any, days: int | None) -> str:
    from connector.settings import load_settings
    from connector.store import tokens as store_tokens
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.transaction() as uow:
        expires_at = uow.now + timedelta(days=days) if days else None
        return await store_tokens.create(uow, name, role, expires_at=expires_at)


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
