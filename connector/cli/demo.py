"""`connector demo`: a local org, a database and the service in one process, with orders moving through."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.demo_mail import DemoPost, opened
from connector.cli.extras import require_localorg
from connector.cli.localorg import Ports, started
from connector.cli.output import plural, program, table
from connector.cli.progress import Progress
from connector.cli.runner import run, until_stopped
from connector.errors import UsageError

if TYPE_CHECKING:
    from connector.jobs.push import PushSummary
    from connector.localorg.server import LocalOrg
    from connector.model.customer import Customer
    from connector.model.order import Order
    from connector.model.product import Product
    from connector.service import Services
    from connector.settings import Settings

PHASES = (
    ("verified and confirmed", "confirmed", 3),
    ("picked, packed and shipped", "shipped", 10),
    ("delivered, invoiced and paid", "completed", 8),
    ("off their holds, returned, refunded", "", 40),
)
"""What orders go through between two pushes, the stage that ends it, and the most working steps it takes. Holds are
released in the last one."""

SLOWEST = 0.05
BATCH = 200
ON_HAND = 1_000_000
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
    require_localorg("demo")
    if data is not None and data.exists() and not data.is_dir():
        raise UsageError(f"{data} is a file.", hint="Name a folder with --data.")
    if not run(_demo(once=once, count=orders, rate=rate, port=port, data=data)):
        raise typer.Exit(1)


def demo_files() -> Path:
    """Customers and products of the demo, and what its org is like: from the checkout, or as packaged."""
    packaged = Path(str(files("connector"))) / "_data" / "demo"
    return packaged if packaged.is_dir() else Path(str(files("connector"))).parent / "fixtures" / "demo"


async def _demo(*, once: bool, count: int, rate: float, port: int, data: Path | None) -> bool:
    from connector.log import configure
    from connector.orders.importing import import_files
    from connector.service import running_service
    from connector.store import schema
    from connector.store.engine import Store

    configure("ERROR")
    async with AsyncExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connector-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        org = await stack.enter_async_context(
            started(Ports(port), data=folder / "org.db", seed=demo_files() / "org.yaml")
        )
        post = await stack.enter_async_context(opened())
        settings = _settings(org, folder, post)
        store = Store.open(settings.database_url)
        try:
            await schema.upgrade(store)
        finally:
            await store.close()
        service = await stack.enter_async_context(running_service(settings))
        await import_files(service.store, [demo_files()], None, progress=NullProgress())
        await stack.enter_async_context(post.at_work(service))
        shop = await _Shop.opened(service, post)
        typer.echo(f"A Salesforce org of your own: {org.url}")
        typer.echo(f"What customers are sent:      {post.catcher.url}")
        typer.echo(
            f"A shop with {plural(len(shop.customers), 'customer')} and {plural(len(shop.products), 'product')} "
            f"takes {plural(count, 'order')}.\nAfter each step of their life the connector sends what changed:\n"
        )
        calls = org.org.usage.calls
        records = await _through(shop, org, count)
        good = await _compare(service)
        calls = org.org.usage.calls - calls
        typer.echo(f"{plural(calls, 'API call')} with reading back; one call a record would have been {records:,}.")
        good = await post.compare() and good
        typer.echo("")
        if not once:
            await _keep_going(shop, org, rate)
        elif data is None:
            typer.echo(f"Next: `{program()} localorg` starts an org to try files of your own on.")
        if data is not None:
            typer.echo(f"Kept: CONNECTOR_DATABASE_URL={settings.database_url} {program()} status")
        return good


def _settings(org: LocalOrg, folder: Path, post: DemoPost) -> Settings:
    from pydantic import SecretStr

    from connector.settings import PREFIX, HttpSettings, SalesforceSettings, Settings

    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        del os.environ[name]  # the demo is the same everywhere
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        database_url=f"sqlite:///{folder / 'connector.db'}",
        salesforce=SalesforceSettings(
            login_url=org.url, client_id=org.client_id, client_secret=SecretStr(org.client_secret)
        ),
        http=HttpSettings(public_url=post.public_url),
        messages=post.settings,
    )


@dataclass(kw_only=True)
class _Shop:
    """Whose orders these are. `under_way` are not done yet; `placed` counts the orders of all times."""

    service: Services
    post: DemoPost
    customers: Sequence[Customer]
    products: Sequence[Product]
    placed: int
    completed: int = 0
    under_way: list[str] = field(default_factory=list)

    @classmethod
    async def opened(cls, service: Services, post: DemoPost) -> _Shop:
        from connector.store import customers, orders, products

        async with service.store.reader() as connection:
            who = await customers.load(connection, [key async for key in customers.keys(connection)])
            what = await products.load(connection, [key async for key in products.keys(connection)])
            placed = await orders.count(connection)
        shop = cls(service=service, post=post, customers=who, products=what, placed=placed)
        await shop.stock_up()
        return shop

    async def stock_up(self) -> None:
        """Fill the warehouses; every third product lies in one of them only."""
        from connector.demo.simulation import WAREHOUSES
        from connector.store import stock

        counted = {
            (product.sku, warehouse): Decimal(ON_HAND)
            for index, product in enumerate(self.products)
            for warehouse in (WAREHOUSES if index % 3 else WAREHOUSES[-1:])
        }
        async with self.service.store.transaction() as uow:
            await stock.count(uow, counted)

    async def place(self, count: int) -> None:
        from connector.demo import sample_orders
        from connector.orders.placement import Placement

        today = self.service.clock.now()
        new = list(sample_orders.orders(self.customers, self.products, count=count, first=self.placed + 1, today=today))
        for start in range(0, len(new), BATCH):
            placements = [Placement(order=order) for order in new[start : start + BATCH]]
            await self.service.orders.place(placements, actor="web shop")
        self.placed += count
        self.under_way += [order.number for order in new]

    async def advance(self, numbers: Sequence[str], *, release: bool) -> list[Order]:
        """One working step for each of these; how they stand then."""
        from connector.demo.simulation import advance
        from connector.store import orders

        found: list[Order] = []
        for start in range(0, len(numbers), BATCH):
            batch = numbers[start : start + BATCH]
            async with self.service.store.reader() as connection:
                loaded = await orders.load(connection, batch)
            found += await advance(self.service.orders, loaded, release=release)
        return found

    async def work(self, goal: str, most: int) -> None:
        """Until all orders have come as far as `goal`, wait on a hold, or (without a goal) are done."""
        from connector.model.stage import Stage

        stages = list(Stage)
        left = list(self.under_way)
        for _ in range(most):
            if not left:
                break
            found = await self.advance(left, release=not goal)
            left = [
                order.number
                for order in found
                if not (goal and (order.state.holds or stages.index(order.stage) >= stages.index(Stage(goal))))
            ]
            await self.settle(found)
            left = [number for number in left if number in set(self.under_way)]

    async def settle(self, found: Sequence[Order]) -> None:
        """Orders that are done are under way no more; what they brought about is."""
        from connector.demo.simulation import is_done
        from connector.store import orders

        done = {order.number for order in found if is_done(order)}
        self.completed += len(done)
        self.under_way = [number for number in self.under_way if number not in done]
        async with self.service.store.reader() as connection:
            made = [f"{number}-R1" for number in done]
            self.under_way += [order.number for order in await orders.load(connection, made)]


async def _through(shop: _Shop, org: LocalOrg, count: int) -> int:
    """All orders through the stages, with a push after each stretch of the way; how many records were written."""
    rows: list[tuple[str, int, int, int, int]] = []

    async def push(name: str, label: str) -> None:
        before = org.org.usage.calls
        stats = (await _push(shop.service, label)).stats
        told = await shop.post.deliver()
        rows.append((name, stats.created.total(), stats.updated.total(), org.org.usage.calls - before, told))

    await shop.place(count)
    await push("placed", "Sending new orders")
    for name, goal, most in PHASES:
        await shop.work(goal, most)
        await push(name, f"Sending orders that are {name}")
    table(("Orders are", "records created", "records updated", "API calls", "mails"), rows)
    typer.echo(f"\nOn the way: {await _turns(shop.service)}.")
    return sum(created + updated for _, created, updated, *_ in rows)


async def _turns(service: Services) -> str:
    """The turns that orders took: `3 holds (3 released), …`."""
    from connector.model.actions import Action
    from connector.store import order_history

    async with service.store.reader() as connection:
        times = await order_history.count_by_action(connection)
    return ", ".join(
        (
            f"{plural(times.get(Action.HOLD, 0), 'hold')} ({times.get(Action.RELEASE, 0):,} released)",
            plural(times.get(Action.SHIP, 0), "shipment"),
            plural(times.get(Action.CANCEL, 0), "canceled line"),
            f"{plural(times.get(Action.REQUEST_RETURN, 0), 'return')} ({times.get(Action.REFUND, 0):,} refunded)",
        )
    )


async def _push(service: Services, label: str) -> PushSummary:
    with Progress(label) as progress:
        return await service.push(progress)


async def _compare(service: Services) -> bool:
    """Read the org back and compare it with the database, order by order."""
    from connector.store import orders

    rows = await service.client.query(
        "SELECT External_Key__c, Lifecycle_Stage__c, Fulfillment_Status__c, Payment_Status__c, Hold_Reason__c,"
        " Amount_Due__c, Exact_Total__c, (SELECT External_Key__c, Shipped_Quantity__c, Canceled_Quantity__c,"
        " Returned_Quantity__c FROM OrderItems) FROM Order WHERE IsReductionOrder = false"
    )
    there = {row["External_Key__c"]: _as_there(row) for row in rows}
    good = 0
    async with service.store.reader() as connection:
        keys = [key async for key in orders.keys(connection)]
        for start in range(0, len(keys), BATCH):
            for order in await orders.load(connection, keys[start : start + BATCH]):
                good += there.get(order.number) == _as_here(order)
    typer.echo(
        "\nRead back from the org, as they are here in stage, statuses, hold, amount due, total and quantities:"
        f" {good:,} of {len(keys):,} orders."
    )
    return good == len(keys)


def _as_here(order: Order) -> tuple[object, ...]:
    values = (order.stage, order.fulfillment_status, order.payment_status, order.hold_reason)
    lines = {line.key: (line.state.shipped, line.state.canceled, line.state.returned) for line in order.lines}
    return (*values, order.amount_due, order.exact_total, lines)


def _as_there(row: dict[str, Any]) -> tuple[object, ...]:
    names = ("Lifecycle_Stage__c", "Fulfillment_Status__c", "Payment_Status__c", "Hold_Reason__c")
    lines = {
        line["External_Key__c"]: tuple(line[f"{name}_Quantity__c"] for name in ("Shipped", "Canceled", "Returned"))
        for line in (row["OrderItems"] or {}).get("records", ())
    }
    return (*(row[name] for name in names), row["Amount_Due__c"], row["Exact_Total__c"], lines)


async def _keep_going(shop: _Shop, org: LocalOrg, rate: float) -> None:
    """New orders at `rate` a second, each moving one stage every few seconds, until stopped."""
    typer.echo(f"What a sales rep would see: {org.page_url}")
    typer.echo(f"What customers get:         {shop.post.catcher.url}, with links to where they follow their orders")
    typer.echo(f"About {rate:g} new orders a second now move through; Ctrl-C stops.")
    import asyncio

    stop = asyncio.create_task(until_stopped())
    loop = asyncio.get_running_loop()
    owed, said_at = 0.0, loop.time()
    while not stop.done():
        owed += rate
        waiting = shop.under_way[: -(-len(shop.under_way) // 2)]
        await shop.place(int(owed))
        owed -= int(owed)
        # Those that were worked on go to the end of the queue.
        shop.under_way = [*shop.under_way[len(waiting) :], *waiting]
        await shop.settle(await shop.advance(waiting, release=True))
        summary = await shop.service.push(NullProgress())
        await shop.post.deliver()
        if loop.time() - said_at >= SAY_EVERY:
            said_at = loop.time()
            typer.echo(_so_far(shop, org, summary))
        await asyncio.wait([stop], timeout=1.0)
    typer.echo(f"Stopped. {_so_far(shop, org, summary)}")


def _so_far(shop: _Shop, org: LocalOrg, summary: PushSummary) -> str:
    there = "all in the org" if summary.in_sync else f"{summary.waiting + summary.dead_letters:,} not in the org yet"
    calls = plural(org.org.usage.calls, "API call")
    mails = plural(shop.post.caught, "mail")
    return f"{plural(shop.placed, 'order')} so far, {shop.completed:,} completed, {there}; {calls}, {mails}."


class NullProgress:
    def begin(self, label: str, total: int, *, percent: bool = False) -> None: ...

    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def print_line(self, text: str) -> None: ...
