"""`connector held`: values of ours that are not sent since an undo, and their release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.key_argument import key as parse_key
from connector.cli.output import as_json, one_line, table
from connector.cli.runner import run
from connector.errors import UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.held_values import HeldPage
    from connector.store.queries.held_links import HeldRecord

held_app = typer.Typer(
    help="Values of ours that are held: an undo has put another value in their place in the org.",
    short_help="Values that are not sent since an undo.",
)
app.add_typer(held_app, name="held")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@held_app.command("list", short_help="What is held, with both values.")
def list_held(
    limit: Annotated[int, typer.Option(help="How many records.", min=1, max=1000)] = 100, json: Json = False
) -> None:
    """Fields that are held, with our value and that of the org. A hold ends by itself when ours is another value."""
    page = run(_list(limit))
    if json:
        as_json([_document(record, page.orgs[record.org_id]) for record in page.records])
        return
    print_page(page)


def print_page(page: HeldPage) -> None:
    """Print what is held as a table: of several orgs, with the org, which a release has to name."""
    from connector.settings.salesforce import DEFAULT_ORG

    if not page.records:
        typer.echo("Nothing is held.")
        return
    rows = [
        (
            page.orgs[record.org_id] or DEFAULT_ORG,
            f"{record.entity} {record.key}",
            f"{record.sobject}.{item.name}",
            _text(item.ours),
            _text(item.theirs),
        )
        for record in page.records
        for item in record.fields
    ]
    first = 0 if len(page.orgs) > 1 else 1
    table(("Org", "Entity", "Field", "ours, not sent", "in the org")[first:], [row[first:] for row in rows])
    others = sorted({page.orgs[record.org_id] for record in page.records} - {""})
    also = f", in the org {others[0]} with CONNECTOR_ORG={others[0]} before it" if others else ""
    typer.echo(f"{plural(len(rows), 'field')}. `connector held release ENTITY KEY` sends ours{also}.")
    if page.after is not None:
        typer.echo("There are more: --limit shows them.")


@held_app.command(short_help="Send our values after all.")
def release(
    entity: Annotated[str, typer.Argument(help="customer, product, order or return.")],
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Its keys.", parser=parse_key)],
    fields: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="NAME", help="Only this field; can be repeated.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Send our values of these entities after all, with those of their lines. It stands in the audit. With several orgs
    it is about the default one, or that of CONNECTOR_ORG.

    Exit status 1 if nothing of them is held, or if not all of it was sent.
    """
    from connector.model.change import EntityKind

    if entity not in set(EntityKind):
        raise UsageError(f"invalid ENTITY {entity!r}.", hint=f"Use one of {', '.join(EntityKind)}.")
    number, sent = run(_release(entity, keys, tuple(fields or ())))
    if json:
        as_json({"fields": number, "sent": sent})
    else:
        typer.echo(f"{plural(number, 'field')} no longer held.")
        if not sent:
            typer.echo("Not all of it has been sent: `connector status` says why.")
    if not sent:
        raise typer.Exit(1)


def _document(record: HeldRecord, org: str) -> dict[str, Any]:
    from connector.settings.salesforce import DEFAULT_ORG

    return {
        "org": org or DEFAULT_ORG, "entity": record.entity, "key": record.key, "part": record.part,
        "sobject": record.sobject, "record_id": record.record_id,
        "fields": [{"field": item.name, "ours": item.ours, "in_org": item.theirs} for item in record.fields],
    }  # fmt: skip


def _text(value: object) -> str:
    return "(empty)" if value is None or value == "" else one_line(value)


async def _list(limit: int) -> HeldPage:
    from connector.jobs.held_values import HeldPage, list_held, parse_place
    from connector.settings import load_settings
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store:
        page = await list_held(store, limit=limit)
        records = list(page.records)
        while page.after is not None and len(records) < limit:
            page = await list_held(store, after=parse_place(page.after), limit=limit - len(records))
            records += page.records
        return HeldPage(records=records, orgs=page.orgs, after=page.after)


async def _release(entity: str, keys: list[str], fields: tuple[str, ...]) -> tuple[int, bool]:
    """How many fields were released, and whether all was sent."""
    from connector.cli.progress import NullProgress
    from connector.jobs.held_values import release
    from connector.log import configure
    from connector.model.change import EntityKind
    from connector.service import running_service
    from connector.settings import load_settings
    from connector.store.journal import command_line_actor

    settings, kind = load_settings(), EntityKind(entity)
    configure(settings.log_level, **settings.log_options)
    async with running_service(settings) as service:
        number = await release(service.store, kind, keys, fields=fields, org=settings.org, actor=command_line_actor())

        async def chosen(store: object) -> Any:
            return {kind: {*keys}}

        return number, (await service.push(NullProgress(), prepare=chosen)).complete
