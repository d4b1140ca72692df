"""`connector link` and `connector unlink`: name the record that belongs to an entity, if a person must decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from connector.cli import app
from connector.cli.key_argument import key as parse_key
from connector.cli.output import as_json, plural
from connector.cli.runner import run
from connector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connector.jobs.link import Linker, LinkResult
    from connector.model.change import EntityKind

T = TypeVar("T")
Entity = Annotated[str, typer.Argument(help="customer, product or order.")]
Key = Annotated[str, typer.Argument(help="The number of a customer or order, the SKU of a product.", parser=parse_key)]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@app.command(short_help="Name the record of the org that is an entity's own.")
def link(
    entity: Entity,
    key: Key,
    record_id: Annotated[str, typer.Argument(metavar="RECORD-ID", help="As it stands in the record's address.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite another key that the record has.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would differ, and change nothing.")] = False,
    json: Json = False,
) -> None:
    """Link an entity to a record that the org has already: our key is put on the record, dead letters that waited for
    it are due again, and the next push sends what differs.

    The record must be there, of the right object, and not another entity's.
    """
    kind = _parse_kind(entity)
    result = run(_run_linker(lambda linker: linker.link(kind, key.strip(), record_id, force=force, dry_run=dry_run)))
    if json:
        as_json(_document(result, dry_run=dry_run))
        return
    record = f"{result.link.sobject} {result.link.salesforce_id}"
    for name, (there, here) in result.differs.items():
        typer.echo(f"  {name:<24} {_format_value(there)} in the org, {_format_value(here)} here")
    if dry_run:
        typer.echo(f"{entity} {key} would be linked to {record}. Dry run: nothing was changed.")
        return
    typer.echo(f"{entity} {key} is linked to {record}.")
    released = f"{plural(result.released, 'refused change')} due again. " if result.released else ""
    typer.echo(f"{released}`connector push` sends what differs.")


@app.command(short_help="Undo a link: take our key off the record.")
def unlink(entity: Entity, key: Key, json: Json = False) -> None:
    """Take our key off the record of an entity and forget the link. The record stays as it is, also with another key
    that it has by now; the next change of the entity makes a new one, unless it is linked to another before.
    """
    kind = _parse_kind(entity)
    result = run(_run_linker(lambda linker: linker.unlink(kind, key.strip())))
    before = result.link
    if json:
        document = {"entity": entity, "key": key, "sobject": before.sobject, "id": before.salesforce_id}
        as_json({**document, "other_keys": dict(result.others)})
        return
    for record, other in result.others.items():
        typer.echo(f"{record} has the key {other} in {result.key_field}, which is not ours: it stays.")
    typer.echo(f"{entity} {key} is not linked to {before.sobject} {before.salesforce_id} any more.")
    typer.echo(
        f"Its next change makes a new record; `connector link {entity} {key} RECORD-ID` links it to another before."
    )


async def _run_linker(work: Callable[[Linker], Awaitable[T]]) -> T:
    from connector.jobs.link import Linker
    from connector.log import configure
    from connector.service import running_service
    from connector.settings import load_settings

    settings = load_settings()
    configure(settings.log_level)
    async with running_service(settings) as service:
        return await work(Linker(service.store, service.client, service.mappings, settings, clock=service.clock))


def _parse_kind(text: str) -> EntityKind:
    from connector.model.change import EntityKind

    if text not in {"customer", "product", "order"}:
        raise UsageError(f"invalid entity {text!r}.", hint="Use one of customer, product, order.")
    return EntityKind(text)


def _document(result: LinkResult, *, dry_run: bool) -> dict[str, object]:
    return {
        "entity": result.link.entity,
        "key": result.link.key,
        "sobject": result.link.sobject,
        "id": result.link.salesforce_id,
        "dry_run": dry_run,
        "overwritten_key": result.overwritten,
        "released": result.released,
        "differs": {name: {"org": there, "here": here} for name, (there, here) in result.differs.items()},
    }


def _format_value(value: object) -> str:
    return "nothing" if value is None else repr(value) if isinstance(value, str) else str(value)
