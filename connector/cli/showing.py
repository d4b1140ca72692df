"""`connector show`: one entity as it is here, as the org has it, and what is still due."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.output import as_json, table
from connector.errors import ConnectorError, UsageError

if TYPE_CHECKING:
    from connector.model.change import EntityKind

LOADERS = ("customer", "product", "order")


@app.command()
def show(
    entity: Annotated[str, typer.Argument(help="customer, product or order.")],
    key: Annotated[str, typer.Argument(help="Its number, or SKU.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Show an entity with its link to the org, the values both sides last agreed on, and what is still due."""
    from connector.model.change import EntityKind

    if entity not in LOADERS:
        raise UsageError(f"{entity!r} is no entity: customer, product or order.")
    document = asyncio.run(_load(EntityKind(entity), key))
    if json:
        as_json(document)
    else:
        _print(document)


async def _load(kind: EntityKind, key: str) -> dict[str, Any]:
    from connector.model.change import EntityKind
    from connector.service import opened
    from connector.settings import load_settings
    from connector.store import catalog, customers, journal, links, orders, outbox, products

    modules: dict[EntityKind, Any] = {
        EntityKind.CUSTOMER: customers,
        EntityKind.PRODUCT: products,
        EntityKind.ORDER: orders,
    }
    async with opened(load_settings()) as store, store.reader() as connection:
        found = await modules[kind].load(connection, [key])
        if not found:
            raise ConnectorError(f"There is no {kind} {key}.", hint="`connector import` brings it in.")
        org = await catalog.latest(connection)
        org_id = org.org_id if org else ""
        linked = await links.get(connection, org_id, kind.value, [key])
        lines = await links.children(connection, org_id, [key]) if kind is EntityKind.ORDER else {}
        unsent = await outbox.find(connection, kind, [key])
        entries = await journal.read(connection, kind.value, key, limit=10)
    document: dict[str, Any] = {"entity": kind.value, "key": key, "here": _plain(found[0])}
    document["in_org"] = [asdict(link) for link in (*linked.values(), *lines.get(key, {}).values())]
    document["unsent"] = asdict(unsent[key]) if key in unsent else None
    document["journal"] = [{"at": entry.at, "action": entry.action, **entry.detail} for entry in entries]
    return document


def _plain(item: Any) -> dict[str, Any]:
    found = asdict(item)
    if "lines" in found:
        found["exact_total"] = item.exact_total
        for line, source in zip(found["lines"], item.lines, strict=True):
            line["exact_total"] = source.exact_total
    return found


def _print(document: dict[str, Any]) -> None:
    here = document["here"]
    typer.echo(f"{document['entity']} {document['key']}")
    for name, value in here.items():
        if value is not None and not isinstance(value, dict | list | tuple):
            typer.echo(f"  {name:<22} {value}")
    if "customer" in here:
        typer.echo(f"  {'customer':<22} {here['customer']['number']} {here['customer']['name']}")
    if here.get("lines"):
        columns = ("number", "quantity", "unit_price", "discount", "exact_total")
        rows = [(line["product"]["sku"], *(line[name] for name in columns)) for line in here["lines"]]
        table(("sku", *columns), rows)
    if here.get("prices"):
        table(("currency", "unit_price"), [(price["currency"], price["unit_price"]) for price in here["prices"]])
    for link in document["in_org"]:
        typer.echo(f"In the org: {link['sobject']} {link['salesforce_id']}, last agreed:")
        for name, value in link["snapshot"].items():
            if value is not None:
                typer.echo(f"  {name:<22} {value}")
    unsent = document["unsent"]
    if unsent is None:
        typer.echo("Nothing is due.")
    elif unsent["refusal"]:
        refusal = unsent["refusal"]
        typer.echo(f"Refused: {refusal['message']}")
        typer.echo(f"  {refusal['fix']}")
    else:
        why = f" ({unsent['error']})" if unsent["error"] else ""
        typer.echo(f"Due since {unsent['captured_at']:%Y-%m-%d %H:%M:%S} UTC, {unsent['attempts']} attempts{why}.")
