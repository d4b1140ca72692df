"""`connector demo`: a local org, a database and the service in one process, with orders moving through."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from contextlib import AsyncExitStack
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.org import environment, our_metadata
from connector.cli.output import plural, table
from connector.cli.progress import Progress

if TYPE_CHECKING:
    from connector.jobs.push import PushSummary
    from connector.localorg.server import LocalOrg
    from connector.model.order import OrderInput
    from connector.service import Service

STEPS = (
    ("verified and confirmed", 2),
    ("fulfilled and shipped", 2),
    ("delivered and completed", 2),
)
SLOWEST = 0.05


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Take the orders through, print the summary, exit.")] = False,
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="How many orders to begin with.")] = 40,
    rate: Annotated[float, typer.Option(min=SLOWEST, max=200, help="New orders a second (without --once).")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the local org; 0 takes a free one.")] = 0,
    data: Annotated[Path | None, typer.Option(help="Keep the database here; else it is gone afterwards.")] = None,
) -> None:
    """Show the connector at work on a local Salesforce org: no account, no network, nothing to set up."""
    if not asyncio.run(_demo(once=once, orders=orders, rate=rate, port=port, data=data)):
        raise typer.Exit(1)


def demo_files() -> Path:
    """Customers and products of the demo: from the checkout, or as packaged."""
    packaged = Path(str(files("connector"))) / "_data" / "demo"
    return packaged if packaged.is_dir() else Path(str(files("connector"))).parent / "fixtures" / "demo"


async def _demo(*, once: bool, orders: int, rate: float, port: int, data: Path | None) -> bool:
    from connector.localorg.server import LocalOrg
    from connector.log import configure
    from connector.orders.importing import import_files
    from connector.service import running
    from connector.settings import load_settings
    from connector.store import schema
    from connector.store.engine import Store

    configure("ERROR")
    async with AsyncExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connector-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        org = await stack.enter_async_context(LocalOrg(metadata_root=our_metadata(), port=port, data=folder / "org.db"))
        os.environ |= environment(org.banner()) | {"CONNECTOR_DATABASE_URL": f"sqlite:///{folder / 'connector.db'}"}
        settings = load_settings()
        store = Store.open(settings.database_url)
        await schema.upgrade(store)
        await store.close()
        service = await stack.enter_async_context(running(settings))
        await import_files(service.store, [demo_files()], None, watcher=_Nobody())
        typer.echo(f"A Salesforce org of your own: {org.url}")
        placed = await _place(service, orders)
        await _through(service, org, placed)
        good = await _compare(service, org, len(placed))
        if not once:
            await _keep_going(service, org, rate, first=len(placed) + 1)
        return good


async def _place(service: Service, count: int) -> list[OrderInput]:
    """Orders of the demo's customers, saved as placed."""
    from connector.orders import sample
    from connector.store import customers, orders, products

    async with service.store.reader() as connection:
        who = await customers.load(connection, [key async for key in customers.keys(connection)])
        what = await products.load(connection, [key async for key in products.keys(connection)])
    placed = list(sample.orders(who, what, count=count))
    for start in range(0, count, 500):
        async with service.store.transaction() as uow:
            await orders.save(uow, placed[start : start + 500])
    return placed


async def _through(service: Service, org: LocalOrg, placed: list[OrderInput]) -> None:
    """All orders through the stages, with a push after each stretch of the way."""
    from connector.orders import sample
    from connector.store import orders

    rows = []
    first = await _push(service, "Sending new orders")
    rows.append(("placed", sum(first.tally.created.values()), sum(first.tally.updated.values()), org.org.usage.calls))
    current = placed
    for name, steps in STEPS:
        for _ in range(steps):
            current = [sample.advanced(order) for order in current]
        for start in range(0, len(current), 500):
            async with service.store.transaction() as uow:
                await orders.save(uow, current[start : start + 500])
        before = org.org.usage.calls
        summary = await _push(service, f"Sending orders that are {name}")
        tally = summary.tally
        rows.append((name, sum(tally.created.values()), sum(tally.updated.values()), org.org.usage.calls - before))
    typer.echo("")
    table(("Orders are", "records created", "updates", "API calls"), rows)


async def _push(service: Service, label: str) -> PushSummary:
    from connector.cli.pushing import Watching

    with Progress(label) as progress:
        return await service.push(Watching(progress))


async def _compare(service: Service, org: LocalOrg, expected: int) -> bool:
    """Read the org back and compare it with the database, order by order."""
    from connector.store import orders

    calls = org.org.usage.calls
    rows = await service.client.query(
        "SELECT External_Key__c, Lifecycle_Stage__c, Status, Exact_Total__c, (SELECT Id FROM OrderItems) FROM Order"
    )
    found = {row["External_Key__c"]: row for row in rows}
    good = 0
    async with service.store.reader() as connection:
        keys = [key async for key in orders.keys(connection)]
        for start in range(0, len(keys), 500):
            for order in await orders.load(connection, keys[start : start + 500]):
                row = found.get(order.number, {})
                lines = (row.get("OrderItems") or {}).get("totalSize", 0)
                there = (row.get("Lifecycle_Stage__c"), row.get("Exact_Total__c"), lines)
                good += there == (order.stage.value, order.exact_total, len(order.lines))
    typer.echo("")
    typer.echo(
        f"Read back: {good} of {plural(len(keys), 'order')} have the same stage, exact total and lines in the org."
    )
    typer.echo(
        f"{calls} API calls in all, {calls / max(expected, 1):.3f} an order; one call a record would be thousands."
    )
    return good == len(keys)


async def _keep_going(service: Service, org: LocalOrg, rate: float, *, first: int) -> None:
    """New orders at `rate` a second, each moving one stage every few seconds, until stopped."""
    from connector.orders import sample
    from connector.store import customers, orders, products

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    typer.echo(f"\nWhat a sales rep would see: {org.page_url}")
    typer.echo(f"{rate:g} new orders a second now move through; Ctrl-C stops.")
    async with service.store.reader() as connection:
        who = await customers.load(connection, [key async for key in customers.keys(connection)])
        what = await products.load(connection, [key async for key in products.keys(connection)])
    under_way: list[OrderInput] = []
    owed = 0.0
    while not stop.is_set():
        owed += rate
        new = list(sample.orders(who, what, count=int(owed), first=first))
        first += len(new)
        owed -= len(new)
        moved = [sample.advanced(order) for order in under_way[: max(1, len(under_way) // 3)]]
        rest = under_way[len(moved) :]
        async with service.store.transaction() as uow:
            await orders.save(uow, [*new, *moved])
        under_way = [*rest, *(order for order in moved if order.stage in sample.NEXT), *new]
        await service.push(_Nobody())
        try:
            await asyncio.wait_for(stop.wait(), 1.0)
        except TimeoutError:
            continue


class _Nobody:
    def expect(self, total: int) -> Any: ...

    def advance(self, count: int = 1) -> Any: ...

    def say(self, text: str) -> Any: ...
