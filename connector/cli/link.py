"""`connector link` and `connector unlink`: set by hand which record of the org belongs to an entity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from connector.cli import app
from connector.cli.key_argument import key as parse_key
from connector.cli.output import as_json
from connector.cli.runner import run
from connector.errors import UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connector.jobs.link import Linker, LinkResult
    from connector.model.change import EntityKind

T = TypeVar("T")
Entity = Annotated[str, typer.Argument(help="customer, product or order.")]
Key = Annotated[str, typer.Argument(help="The number of a customer or order, the SKU of a product.", parser=parse_key)]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@app.command(short_help="Link an entity to an existing record of the org.")
def link(
    entity: Entity,
    key: Key,
    record_id: Annotated[str, typer.Argument(metavar="RECORD-ID", help="ID of the record, as in its URL.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite a different key on the record.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the differences; change nothing.")] = False,
    json: Json = False,
) -> None:
    """Link an entity to a record that exists in the org. The connector writes its key to the record and makes dead
    letters that waited for the link due again. The next push sends the differences.

    The record must exist, be of the right object, and not belong to another entity.
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


@app.command(short_help="Remove a link, and our key from the record.")
def unlink(entity: Entity, key: Key, json: Json = False) -> None:
    """Remove our key from the record of an entity, and delete the link. The record stays, and so does a different key
    that was written to it since. The next change of the entity creates a new record, unless the entity is linked to
    another one first.
    """
    kind = _parse_kind(entity)
    result = run(_run_linker(lambda linker: linker.unlink(kind, key.strip())))
    before = result.link
    if json:
        document = {"entity": entity, "key": key, "sobject": before.sobject, "id": before.salesforce_id}
        as_json({**document, "other_keys": dict(result.others)})
        return
    for record, other in result.others.items():
        typer.echo(f"{record} has the key {other} in {result.key_field}, which is not ours: the key stays.")
    typer.echo(f"{entity} {key} is no longer linked to {before.sobject} {before.salesforce_id}.")
    typer.echo(
        f"Its next change creates a new record, unless `connector link {entity} {key} RECORD-ID` links it first."
    )


async def _run_linker(work: Callable[[Linker], Awaitable[T]]) -> T:
    from connector.jobs.link import Linker
    from connector.log import configure
    from connector.service import running_service
    from connector.settings import load_settings

    settings = load_settings()
    configure(settings.log_level, **settings.log_options)
    async with running_service(settings) as service:
        mappings = await service.push_context.mappings.load(service.org_store)
        return await work(Linker(service.org_store, service.client, mappings, settings, clock=service.clock))


def _parse_kind(text: str) -> EntityKind:
    from connector.model.change import EntityKind

    if text not in {"customer", "product", "order"}:
        raise UsageError(f"ENTITY: invalid value {text!r}.", hint="Use one of customer, product, order.")
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
