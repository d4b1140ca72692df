"""`connector stock`: list stock by warehouse, and set counted quantities."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from connector.cli import app
from connector.cli.inputs import check_input
from connector.cli.key_argument import key
from connector.cli.output import amount, as_json, table
from connector.cli.runner import run
from connector.errors import ConnectorError, UsageError
from connector.files import UnusableFileError, bounded_lines
from connector.wording import plural

stock = typer.Typer(help="Stock by warehouse.", short_help="List stock by warehouse; enter counts.")
app.add_typer(stock, name="stock")

COLUMNS = ("sku", "warehouse", "on_hand")
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@stock.command("list", short_help="List stock by product and warehouse.")
def list_stock(
    skus: Annotated[
        list[str] | None, typer.Argument(metavar="[SKU]...", help="Only these products.", parser=key)
    ] = None,
    json: Json = False,
) -> None:
    """List the quantities on hand, reserved for orders, and available, by product and warehouse."""
    rows = run(_load_levels(skus or []))
    if json:
        as_json(rows)
    elif not rows:
        typer.echo("There is no stock: `connector stock count` enters counts.")
    else:
        names = ("on_hand", "reserved", "available")
        lines = [
            (row["sku"], row["warehouse"], *(amount(row[name]) for name in names), row["since"] or "") for row in rows
        ]
        table(("product", "warehouse", "on hand", "reserved", "available", "since"), lines)


@stock.command(short_help="Enter counted quantities.")
def count(
    warehouse: Annotated[str | None, typer.Argument(help="Warehouse that was counted.", parser=key)] = None,
    counts: Annotated[
        list[str] | None, typer.Argument(metavar="[SKU=N]...", help="Product and counted quantity.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help=f"A CSV file with the columns {', '.join(COLUMNS)}, instead of arguments.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Allow a warehouse that has no counts yet.")] = False,
    json: Json = False,
) -> None:
    """Set the quantities on hand. If less is there than is reserved, the least urgent orders lose their allocation, and
    are allocated from another warehouse if it has enough.
    """
    if (file is None) == (not counts):
        raise UsageError(
            "stock count: either WAREHOUSE and SKU=N, or --file is required.",
            hint="Write, for example, MAIN TEA-EB-100=5.",
        )
    counted = _read_counts(file) if file is not None else _parse_counts(warehouse or "", counts or [])
    report = run(_store_counts(counted, new=new))
    if json:
        as_json(report)
        return
    if len(counted) == 1:
        [((sku, place), quantity)] = counted.items()
        typer.echo(f"Counted {amount(quantity)} of {sku} in {place}.")
    else:
        typer.echo(f"Counted {plural(len(counted), 'product')}.")
    for name, words in (("taken", "lost an allocation"), ("short", "could not be allocated again, and wait for stock")):
        if report[name]:
            typer.echo(f"{plural(len(report[name]), 'order')} {words}: {', '.join(report[name])}.")


def _parse_counts(warehouse: str, items: list[str]) -> dict[tuple[str, str], Decimal]:
    counted: dict[tuple[str, str], Decimal] = {}
    for item in items:
        sku, sign, text = item.rpartition("=")
        if not sign or not sku:
            raise UsageError(
                f"SKU=N: invalid value {item!r}.", hint="Write SKU=N, as TEA-EB-100=5, after the warehouse."
            )
        place = (_parse_key(sku, item), warehouse)
        if place in counted:
            raise UsageError(f"{item}: product {place[0]} is given twice.", hint="Give each product once.")
        counted[place] = _parse_quantity(text, item)
    return counted


def _parse_key(text: str, place: str) -> str:
    from connector.model.keys import normalize_key

    try:
        return normalize_key(text)
    except ValueError as error:
        raise UsageError(f"{place}: {text!r} {error}.") from None


def _read_counts(file: Path) -> dict[tuple[str, str], Decimal]:
    check_input(file)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(bounded_lines(lines))
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"{file}:1: column {missing[0]} is missing.", hint=f"The columns are {', '.join(COLUMNS)}."
                )
            counted = {}
            for row in reader:
                place = f"{file}:{reader.line_num}"
                sku, warehouse = ((row[name] or "").strip() for name in COLUMNS[:2])
                if not sku or not warehouse:
                    raise UsageError(f"{place}: {'warehouse' if sku else 'sku'} is empty.", hint="Fill it in.")
                sku, warehouse = _parse_key(sku, place), _parse_key(warehouse, place)
                if (sku, warehouse) in counted:
                    raise UsageError(
                        f"{place}: product {sku} in warehouse {warehouse} is listed twice.",
                        hint="Keep one of the rows.",
                    )
                counted[sku, warehouse] = _parse_quantity((row["on_hand"] or "").strip(), place)
            return counted
    except UnusableFileError as error:
        raise UsageError(f"{file} {error.problem}.") from None
    except (UnicodeDecodeError, csv.Error):
        raise UsageError(f"{file} is not a CSV file in UTF-8.", hint="Save it as CSV in UTF-8.") from None


def _parse_quantity(text: str, place: str) -> Decimal:
    from connector.model.literals import parse_decimal

    try:
        number = parse_decimal(text)
    except ValueError as error:
        if "digits" in str(error):
            raise UsageError(f"{place}: a quantity {error}.", hint="Write fewer digits.") from None
        number = Decimal(-1)
    if number < 0:
        raise UsageError(f"{place}: invalid quantity {text!r}.", hint="Write a number, 0 or more.")
    return number


def _check_warehouses(warehouses: set[str], counted: set[str]) -> None:
    """Raise UsageError for an unknown warehouse, because a mistyped name would create one. If there is none yet, any is
    allowed."""
    for name in sorted(counted - warehouses) if warehouses else ():
        raise ConnectorError(
            f"There is no warehouse {name}.", hint=f"Use {' or '.join(sorted(warehouses))}, or --new to add {name}."
        )


async def _load_levels(skus: list[str]) -> list[dict[str, Any]]:
    from connector.api.serializers import serialize_stock
    from connector.settings import load_settings
    from connector.store import products
    from connector.store import stock as stocks
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        known_products = await products.find(connection, set(skus))
        for sku in skus:
            if sku not in known_products:
                raise ConnectorError(f"There is no product {sku}.", hint="Correct the SKU, or import the product.")
        names = skus or [key async for key in products.keys(connection)]
        levels = await stocks.levels(connection, names)
    return serialize_stock(levels)


async def _store_counts(counted: dict[tuple[str, str], Decimal], *, new: bool) -> dict[str, Any]:
    from connector.service import local_services
    from connector.settings import load_settings
    from connector.store import products
    from connector.store import stock as stocks
    from connector.store.journal import command_line_actor

    async with local_services(load_settings()) as services:
        async with services.store.reader() as connection:
            known_products = await products.find(connection, {sku for sku, _ in counted})
            for sku, _ in counted:
                if sku not in known_products:
                    raise ConnectorError(f"There is no product {sku}.", hint="Import it first, or correct the SKU.")
            if not new:
                _check_warehouses(await stocks.warehouses(connection), {warehouse for _, warehouse in counted})
        report = await services.orders.count_stock(counted, actor=command_line_actor())
    return {"counted": len(counted), "taken": report.orders_reduced, "short": report.orders_short}
