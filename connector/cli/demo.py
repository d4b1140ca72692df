"""`connector demo`: a local org, a database and the service in one process, with orders moving through."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.loop import run, until_stopped
from connector.cli.org import Ports, started
from connector.cli.output import plural, table
from connector.cli.progress import Progress
from connector.errors import UsageError

if TYPE_CHECKING:
    from connector.jobs.push import PushSummary
    from connector.localorg.server import LocalOrg
    from connector.model.customer import Customer
    from connector.model.order import OrderInput
    from connector.model.product import Product
    from connector.service import Service
    from connector.settings import Settings

STEPS = (
    ("verified and confirmed", 2),
    ("fulfilled and shipped", 2),
    ("delivered and completed", 2),
)
SLOWEST = 0.05
BATCH = 500
SAY_EVERY = 5.0
"""Seconds between two lines on how it goes."""


@app.command(short_help="See it at work: local org, database and orders in one.")
def demo(
    once: Annotated[bool, typer.Option("--once", help="Take the orders through, print the summary, exit.")] = False,
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="How many orders to begin with.")] = 40,
    rate: Annotated[float, typer.Option(min=SLOWEST, max=200, help="New orders a second (without --once).")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the local org; 0 takes a free one.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Keep database and org in this folder; else they are gone afterwards.")
    ] = None,
) -> None:
    """Show the connector at work on a local Salesforce org: no account, no network, nothing to set up.

    Orders are placed in a database here and taken through their life; after each step the connector sends what changed.
    In the end both sides are compared. Settings of yours (CONNECTOR_…, .env) are left alone and not used.
    """
    if data is not None and data.exists() and not data.is_dir():
        raise UsageError(f"{data} is a file.", hint="Name a folder with --data.")
    if not run(_demo(once=once, count=orders, rate=rate, port=port, data=data)):
        raise typer.Exit(1)


def demo_files() -> Path:
    """Customers and products of the demo: from the checkout, or as packaged."""
    packaged = Path(str(files("connector"))) / "_data" / "demo"
    return packaged if packaged.is_dir() else Path(str(files("connector"))).parent / "fixtures" / "demo"


async def _demo(*, once: bool, count: int, rate: float, port: int, data: Path | None) -> bool:
    from connector.log import configure
    from connector.orders.importing import import_files
    from connector.service import running
    from connector.store import schema
    from connector.store.engine import Store

    configure("ERROR")
    async with AsyncExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connector-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        org = await stack.enter_async_context(started(Ports(port), data=folder / "org.db"))
        settings = _settings(org, folder)
        store = Store.open(settings.database_url)
        try:
            await schema.upgrade(store)
        finally:
            await store.close()
        service = await stack.enter_async_context(running(settings))
        await import_files(service.store, [demo_files()], None, watcher=_Nobody())
        shop = await _Shop.opened(service)
        typer.echo(f"A Salesforce org of your own: {org.url}")
        typer.echo(
            f"A shop with {plural(len(shop.customers), 'customer')} and {plural(len(shop.products), 'product')} "
            f"takes {plural(count, 'order')}.\nAfter each step of their life the connector sends what changed:\n"
        )
        calls = org.org.usage.calls
        records = await _through(shop, org, count)
        good = await _compare(service)
        calls = org.org.usage.calls - calls
        typer.echo(f"{plural(calls, 'API call')} with reading back; one call a record would have been {records:,}.\n")
        if not once:
            await _keep_going(shop, org, rate)
        elif data is None:
            typer.echo("Next: `connector localorg` starts an org to try files of your own on.")
        if data is not None:
            typer.echo(f"Kept: CONNECTOR_DATABASE_URL={settings.database_url} connector status")
        return good


def _settings(org: LocalOrg, folder: Path) -> Settings:
    from pydantic import SecretStr

    from connector.settings import PREFIX, SalesforceSettings, Settings

    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        del os.environ[name]  # the demo is the same everywhere
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        database_url=f"sqlite:///{folder / 'connector.db'}",
        salesforce=SalesforceSettings(
            login_url=org.url, client_id=org.client_id, client_secret=SecretStr(org.client_secret)
        ),
    )


@dataclass(kw_only=True)
class _Shop:
    """Whose orders these are. `under_way` have stages before them; `placed` counts the orders of all times."""

    service: Service
    customers: Sequence[Customer]
    products: Sequence[Product]
    placed: int
    completed: int = 0
    under_way: list[OrderInput] = field(default_factory=list)

    @classmethod
    async def opened(cls, service: Service) -> _Shop:
        from connector.store import customers, orders, products

        async with service.store.reader() as connection:
            who = await customers.load(connection, [key async for key in customers.keys(connection)])
            what = await products.load(connection, [key async for key in products.keys(connection)])
            placed = await orders.count(connection)
        return cls(service=service, customers=who, products=what, placed=placed)

    async def place(self, count: int) -> None:
        from connector.orders import sample

        new = list(sample.orders(self.customers, self.products, count=count, first=self.placed + 1))
        await self._save(new)
        self.placed += count
        self.under_way += new

    async def advance(self, count: int, steps: int = 1) -> None:
        """Move the `count` orders that waited longest by `steps` stages."""
        from connector.orders import sample

        moved = self.under_way[:count]
        for _ in range(steps):
            moved = [sample.advanced(order) for order in moved]
        await self._save(moved)
        going_on = [order for order in moved if order.stage in sample.NEXT]
        self.completed += len(moved) - len(going_on)
        self.under_way = [*self.under_way[count:], *going_on]

    async def _save(self, some: Sequence[OrderInput]) -> None:
        from connector.store import orders

        for start in range(0, len(some), BATCH):
            async with self.service.store.transaction() as uow:
                await orders.save(uow, some[start : start + BATCH])


async def _through(shop: _Shop, org: LocalOrg, count: int) -> int:
    """All orders through the stages, with a push after each stretch of the way; how many records were written."""
    rows: list[tuple[str, int, int, int]] = []

    async def push(name: str, label: str) -> None:
        before = org.org.usage.calls
        tally = (await _push(shop.service, label)).tally
        rows.append((name, tally.created.total(), tally.updated.total(), org.org.usage.calls - before))

    await shop.place(count)
    await push("placed", "Sending new orders")
    for name, steps in STEPS:
        await shop.advance(count, steps)
        await push(name, f"Sending orders that are {name}")
    table(("Orders are", "records created", "records updated", "API calls"), rows)
    return sum(created + updated for _, created, updated, _ in rows)


async def _push(service: Service, label: str) -> PushSummary:
    with Progress(label) as progress:
        return await service.push(progress)


async def _compare(service: Service) -> bool:
    """Read the org back and compare it with the database, order by order."""
    from connector.store import orders

    rows = await service.client.query(
        "SELECT External_Key__c, Lifecycle_Stage__c, Status, Exact_Total__c, (SELECT Id FROM OrderItems) FROM Order"
    )
    found = {row["External_Key__c"]: row for row in rows}
    good = 0
    async with service.store.reader() as connection:
        keys = [key async for key in orders.keys(connection)]
        for start in range(0, len(keys), BATCH):
            for order in await orders.load(connection, keys[start : start + BATCH]):
                row = found.get(order.number, {})
                lines = (row.get("OrderItems") or {}).get("totalSize", 0)
                there = (row.get("Lifecycle_Stage__c"), row.get("Exact_Total__c"), lines)
                good += there == (order.stage.value, order.exact_total, len(order.lines))
    typer.echo(
        f"\nRead back from the org, as they are here in stage, exact total and lines: {good:,} of {len(keys):,} orders."
    )
    return good == len(keys)


async def _keep_going(shop: _Shop, org: LocalOrg, rate: float) -> None:
    """New orders at `rate` a second, each moving one stage every few seconds, until stopped."""
    typer.echo(f"What a sales rep would see: {org.page_url}")
    typer.echo(f"About {rate:g} new orders a second now move through; Ctrl-C stops.")
    stop = asyncio.create_task(until_stopped())
    loop = asyncio.get_running_loop()
    owed, said_at = 0.0, loop.time()
    while not stop.done():
        owed += rate
        waiting = len(shop.under_way)
        await shop.place(int(owed))
        owed -= int(owed)
        await shop.advance(-(-waiting // 3))
        summary = await shop.service.push(_Nobody())
        if loop.time() - said_at >= SAY_EVERY:
            said_at = loop.time()
            typer.echo(_so_far(shop, org, summary))
        await asyncio.wait([stop], timeout=1.0)
    typer.echo(f"Stopped. {_so_far(shop, org, summary)}")


def _so_far(shop: _Shop, org: LocalOrg, summary: PushSummary) -> str:
    there = "all in the org" if summary.in_sync else f"{summary.waiting + summary.dead_letters:,} not in the org yet"
    calls = plural(org.org.usage.calls, "API call")
    return f"{plural(shop.placed, 'order')} so far, {shop.completed:,} completed, {there}; {calls}."


class _Nobody:
    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def say(self, text: str) -> None: ...
