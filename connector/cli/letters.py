"""`connector dead-letters`: what the org refused, why, and sending it again once it is mended."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json, plural, table
from connector.errors import ConnectorError, UsageError

if TYPE_CHECKING:
    from connector.model.change import DeadLetter, EntityKind

letters = typer.Typer(no_args_is_help=True, help="Refused orders, customers and products.", rich_markup_mode=None)
app.add_typer(letters, name="dead-letters")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@letters.command("list")
def list_letters(json: Json = False) -> None:
    """Every dead letter with its reason, the oldest first. Exit status 0 whether there are any or not."""
    found = _load(None, None)
    if json:
        as_json([_document(letter) for letter in found])
        return
    if not found:
        typer.echo("No dead letters.")
        return
    rows = [
        (letter.entity.value, letter.key, letter.refusal.code, letter.refusal.field, letter.refusal.message)
        for letter in found
    ]
    table(("Entity", "Key", "Code", "Field", "Message"), rows)
    typer.echo("`connector dead-letters show ENTITY KEY` says what to do about one.")


@letters.command()
def show(entity: str, key: str, json: Json = False) -> None:
    """One dead letter: what the org said, which mapping line it came from, what to do."""
    found = _load(_kind(entity), [key])
    if not found:
        raise ConnectorError(f"There is no dead letter for {entity} {key}.")
    [letter] = found
    if json:
        as_json(_document(letter))
        return
    refusal = letter.refusal
    typer.echo(f"{letter.entity} {letter.key}: {refusal.message}")
    for name, value in (
        ("Record", refusal.record),
        ("Field", refusal.field),
        ("Mapped in", refusal.source),
        ("Code", refusal.code),
        ("Refused", f"{letter.refused_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Attempts", str(letter.attempts)),
        ("What to do", refusal.fix),
    ):
        if value:
            typer.echo(f"  {name + ':':<12} {value}")


@letters.command()
def replay(
    entity: Annotated[str | None, typer.Argument(help="customer, product or order; with a key, only that one.")] = None,
    key: Annotated[str | None, typer.Argument()] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    json: Json = False,
) -> None:
    """Make dead letters due again; the next push sends them."""
    if (entity is None) != all_:
        raise UsageError("Name an entity and a key, an entity alone, or --all.")
    kind = None if entity is None else _kind(entity)
    count = asyncio.run(_replay(kind, None if key is None else [key]))
    if json:
        as_json({"replayed": count})
    else:
        typer.echo(f"{plural(count, 'dead letter')} due again; `connector push` sends them.")
    if key is not None and not count:
        raise typer.Exit(1)


def _kind(text: str) -> EntityKind:
    from connector.model.change import EntityKind

    try:
        return EntityKind(text)
    except ValueError:
        raise UsageError(f"{text!r} is no entity: customer, product or order.") from None


def _load(entity: EntityKind | None, keys: list[str] | None) -> list[DeadLetter]:
    from connector.service import opened
    from connector.settings import load_settings
    from connector.store import outbox

    async def run() -> list[DeadLetter]:
        async with opened(load_settings()) as store, store.reader() as connection:
            return await outbox.dead_letters(connection, entity=entity, keys=keys)

    return asyncio.run(run())


async def _replay(entity: EntityKind | None, keys: list[str] | None) -> int:
    from connector.service import opened
    from connector.settings import load_settings
    from connector.store import outbox

    async with opened(load_settings()) as store, store.transaction() as uow:
        return await outbox.replay(uow, entity, keys)


def _document(letter: DeadLetter) -> dict[str, object]:
    return {
        "entity": letter.entity.value,
        "key": letter.key,
        **asdict(letter.refusal),
        "attempts": letter.attempts,
        "captured_at": letter.captured_at,
        "refused_at": letter.refused_at,
    }
