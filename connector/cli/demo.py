"""`connector demo`: a local org, a database and the service in one process, with sample orders."""

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
from connector.cli.demo_mail import DemoMail, open_demo_mail
from connector.cli.demo_reps import DemoReps, open_demo_reps, print_verified
from connector.cli.extras import require_localorg
from connector.cli.localorg import running_org
from connector.cli.output import plural, program, table
from connector.cli.progress import NullProgress, Progress
from connector.cli.runner import run, until_stopped
from connector.errors import UsageError

if TYPE_CHECKING:
    from connector.jobs.push_summary import PushSummary
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
"""The phases between two pushes: a label, the stage that ends it, and the most steps it takes. The last phase releases
holds."""

MIN_RATE = 0.05
BATCH = 200
ON_HAND = 1_000_000
REPORT_SECONDS = 5.0
"""Seconds between two progress lines."""


@app.command(short_help="Run a demo: local org, database and orders in one.")
def demo(
    once: Annotated[bool, typer.Option("--once", help="Complete the orders, print the summary, and exit.")] = False,
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="Orders to start with.")] = 40,
    rate: Annotated[float, typer.Option(min=MIN_RATE, max=200, help="New orders a second (without --once).")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the local org; 0 takes a free one.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Keep database and org in this folder; without it, they are deleted at the end.")
    ] = None,
) -> None:
    """Run the connector against a local Salesforce org: no account, no network, no setup.

    Orders are placed in a local database and move through their life; after each step the connector sends what changed.
    Meanwhile a sales rep works in the org, and what they do comes back. At the end both sides are compared. Your own
    settings (CONNECTOR_…, .env) are not used.
    """
    require_localorg("demo")
    if data is not None and data.exists() and not data.is_dir():
        raise UsageError(f"--data: {data} is a file.", hint="Name a folder.")
    if not run(_demo(once=once, count=orders, rate=rate, port=port, data=data)):
        raise typer.Exit(1)


def demo_files() -> Path:
    """Return the folder of the demo's customers, products and org seed: in the checkout, or in the package."""
    packaged = Path(str(files("connector"))) / "_data" / "demo"
    return packaged if packaged.is_dir() else Path(str(files("connector"))).parent / "fixtures" / "demo"


async def _demo(*, once: bool, count: int, rate: float, port: int, data: Path | None) -> bool:
    from connector.localorg.server import Ports
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
            running_org(Ports(port, grpc=0), data=folder / "org.db", seed=demo_files() / "org.yaml")
        )
        mail = await stack.enter_async_context(open_demo_mail())
        settings = _settings(org, folder, mail)
        store = Store.open(settings.database_url)
        try:
            await schema.upgrade(store)
        finally:
            await store.close()
        service = await stack.enter_async_context(running_service(settings))
        await import_files(service.store, [demo_files()], None, progress=NullProgress())
        await stack.enter_async_context(mail.serving(service))
        reps = await stack.enter_async_context(open_demo_reps(service))
        shop = await _Shop.open(service, mail, reps)
        typer.echo(f"Local Salesforce org: {org.url}")
        typer.echo(f"Mails to customers:   {mail.catcher.url}")
        typer.echo(
            f"A shop with {plural(len(shop.customers), 'customer')} and {plural(len(shop.products), 'product')} "
            f"takes {plural(count, 'order')}.\nAfter each step the connector sends what changed:\n"
        )
        calls = org.org.usage.calls
        records = await _run_lifecycle(shop, org, count)
        in_sync = await reps.tell()
        in_sync = await _compare(service) and in_sync
        in_sync = await print_verified(service) and in_sync
        calls = org.org.usage.calls - calls
        typer.echo(
            f"{plural(calls, 'API call')}, including the rep's own and the read-back; one call per record would have"
            f" been {records:,}."
        )
        in_sync = await mail.compare() and in_sync
        typer.echo("")
        if not once:
            await _run_until_stopped(shop, org, rate)
        elif data is None:
            typer.echo(f"Next: `{program()} localorg` starts an org where you can try your own files.")
        if data is not None:
            typer.echo(f"Kept: CONNECTOR_DATABASE_URL={settings.database_url} {program()} status")
        return in_sync


def _settings(org: LocalOrg, folder: Path, mail: DemoMail) -> Settings:
    from pydantic import SecretStr

    from connector.settings import PREFIX, HttpSettings, SalesforceSettings, Settings

    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        del os.environ[name]  # the demo is the same everywhere
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        database_url=f"sqlite:///{folder / 'connector.db'}",
        salesforce=SalesforceSettings(
            login_url=org.url,
            client_id=org.client_id,
            client_secret=SecretStr(org.client_secret),
            pubsub_endpoint=str(org.pubsub_endpoint),
        ),
        http=HttpSettings(public_url=mail.public_url),
        messages=mail.settings,
    )


@dataclass(kw_only=True)
class _Shop:
    """The shop of the demo. `open_numbers`: orders that are not done yet; `placed_count`: all orders ever placed."""

    service: Services
    mail: DemoMail
    reps: DemoReps
    customers: Sequence[Customer]
    products: Sequence[Product]
    placed_count: int
    completed_count: int = field(default=0, init=False)
    open_numbers: list[str] = field(default_factory=list, init=False)

    @classmethod
    async def open(cls, service: Services, mail: DemoMail, reps: DemoReps) -> _Shop:
        from connector.store import customers, orders, products

        async with service.store.reader() as connection:
            all_customers = await customers.load(connection, [key async for key in customers.keys(connection)])
            all_products = await products.load(connection, [key async for key in products.keys(connection)])
            placed_count = await orders.count(connection)
        shop = cls(
            service=service,
            mail=mail,
            reps=reps,
            customers=all_customers,
            products=all_products,
            placed_count=placed_count,
        )
        await shop.stock_up()
        return shop

    async def stock_up(self) -> None:
        """Fill the warehouses; every third product is in one of them only."""
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
        new = list(
            sample_orders.orders(self.customers, self.products, count=count, first=self.placed_count + 1, today=today)
        )
        for start in range(0, len(new), BATCH):
            placements = [Placement(order=order) for order in new[start : start + BATCH]]
            await self.service.orders.place(placements, actor="web shop")
        self.placed_count += count
        self.open_numbers += [order.number for order in new]

    async def advance(self, numbers: Sequence[str], *, release: bool) -> list[Order]:
        """Advance each of these orders by one step, and return them."""
        from connector.demo.simulation import advance
        from connector.store import orders

        advanced: list[Order] = []
        for start in range(0, len(numbers), BATCH):
            batch = numbers[start : start + BATCH]
            async with self.service.store.reader() as connection:
                loaded = await orders.load(connection, batch)
            advanced += await advance(self.service.orders, loaded, release=release)
        return advanced

    async def advance_until(self, goal: str, max_steps: int) -> None:
        """Advance the open orders until each has reached `goal`, is on hold, or (without a goal) is done."""
        from connector.model.stage import Stage

        stages = list(Stage)
        remaining = list(self.open_numbers)
        for _ in range(max_steps):
            if not remaining:
                break
            advanced = await self.advance(remaining, release=not goal)
            remaining = [
                order.number
                for order in advanced
                if not (goal and (order.state.holds or stages.index(order.stage) >= stages.index(Stage(goal))))
            ]
            await self.remove_done(advanced)
            remaining = [number for number in remaining if number in set(self.open_numbers)]

    async def remove_done(self, advanced: Sequence[Order]) -> None:
        """Remove orders that are done from the open ones, and add their replacement orders."""
        from connector.demo.simulation import is_done
        from connector.store import orders

        done = {order.number for order in advanced if is_done(order)}
        self.completed_count += len(done)
        self.open_numbers = [number for number in self.open_numbers if number not in done]
        async with self.service.store.reader() as connection:
            replacement_numbers = [f"{number}-R1" for number in done]
            self.open_numbers += [order.number for order in await orders.load(connection, replacement_numbers)]


async def _run_lifecycle(shop: _Shop, org: LocalOrg, count: int) -> int:
    """Take all orders through the phases, with a push after each; return how many records were written."""
    rows: list[tuple[str, int, int, int, int]] = []

    async def push(name: str, label: str) -> None:
        before = org.org.usage.calls
        stats = (await _push(shop.service, label)).stats
        mails = await shop.mail.deliver()
        rows.append((name, stats.created.total(), stats.updated.total(), org.org.usage.calls - before, mails))

    await shop.place(count)
    await push("placed", "Sending new orders")
    await shop.reps.begin(shop)
    for name, goal, max_steps in PHASES:
        await shop.advance_until(goal, max_steps)
        await push(name, f"Sending orders that are {name}")
        if goal == "shipped":
            await shop.reps.object(shop)
    table(("Orders are", "records created", "records updated", "API calls", "mails"), rows)
    typer.echo(f"\nAmong the events: {await _count_turns(shop.service)}.")
    return sum(created + updated for _, created, updated, *_ in rows)


async def _count_turns(service: Services) -> str:
    """Return the counts of special events: `3 holds (3 released), …`."""
    from connector.model.actions import EventKind
    from connector.store import order_history

    async with service.store.reader() as connection:
        counts = await order_history.count_by_event(connection)
    returns, refunds = counts.get(EventKind.RETURN_REQUESTED, 0), counts.get(EventKind.REFUNDED, 0)
    return ", ".join(
        (
            f"{plural(counts.get(EventKind.HELD, 0), 'hold')} ({counts.get(EventKind.RELEASED, 0):,} released)",
            plural(counts.get(EventKind.SHIPPED, 0), "shipment"),
            plural(counts.get(EventKind.CANCELED, 0), "canceled line"),
            f"{plural(returns, 'return')} ({refunds:,} refunded)",
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
    org_values = {row["External_Key__c"]: _org_values(row) for row in rows}
    equal_count = 0
    async with service.store.reader() as connection:
        keys = [key async for key in orders.keys(connection)]
        for start in range(0, len(keys), BATCH):
            for order in await orders.load(connection, keys[start : start + BATCH]):
                equal_count += org_values.get(order.number) == _local_values(order)
    typer.echo(
        f"\nRead back from the org: {equal_count:,} of {len(keys):,} orders are equal in stage, statuses, hold,"
        " amount due, total and quantities."
    )
    return equal_count == len(keys)


def _local_values(order: Order) -> tuple[object, ...]:
    values = (order.stage, order.fulfillment_status, order.payment_status, order.hold_reason)
    lines = {line.key: (line.state.shipped, line.state.canceled, line.state.returned) for line in order.lines}
    return (*values, order.amount_due, order.exact_total, lines)


def _org_values(row: dict[str, Any]) -> tuple[object, ...]:
    names = ("Lifecycle_Stage__c", "Fulfillment_Status__c", "Payment_Status__c", "Hold_Reason__c")
    lines = {
        line["External_Key__c"]: tuple(line[f"{name}_Quantity__c"] for name in ("Shipped", "Canceled", "Returned"))
        for line in (row["OrderItems"] or {}).get("records", ())
    }
    return (*(row[name] for name in names), row["Amount_Due__c"], row["Exact_Total__c"], lines)


async def _run_until_stopped(shop: _Shop, org: LocalOrg, rate: float) -> None:
    """Place `rate` new orders a second and advance the open ones, until stopped."""
    typer.echo(f"Page of a sales rep: {org.page_url}")
    typer.echo(f"Mails to customers:  {shop.mail.catcher.url}, with links to tracking pages")
    typer.echo(f"From now on, about {rate:g} orders per second are placed; Ctrl-C stops.")
    import asyncio

    stop = asyncio.create_task(until_stopped())
    loop = asyncio.get_running_loop()
    orders_to_place, reported_at = 0.0, loop.time()
    while not stop.done():
        orders_to_place += rate
        waiting = shop.open_numbers[: -(-len(shop.open_numbers) // 2)]
        await shop.place(int(orders_to_place))
        orders_to_place -= int(orders_to_place)
        # Those that were worked on go to the end of the queue.
        shop.open_numbers = [*shop.open_numbers[len(waiting) :], *waiting]
        await shop.remove_done(await shop.advance(waiting, release=True))
        summary = await shop.service.push(NullProgress())
        await shop.mail.deliver()
        if loop.time() - reported_at >= REPORT_SECONDS:
            reported_at = loop.time()
            await shop.reps.work(shop)
            typer.echo(_progress_line(shop, org, summary))
        await asyncio.wait([stop], timeout=1.0)
    typer.echo(f"Stopped. {_progress_line(shop, org, summary)}")


def _progress_line(shop: _Shop, org: LocalOrg, summary: PushSummary) -> str:
    org_state = (
        "all in the org" if summary.in_sync else f"{summary.waiting + summary.dead_letters:,} not in the org yet"
    )
    calls = plural(org.org.usage.calls, "API call")
    mails = plural(shop.mail.received_count, "mail")
    placed = shop.placed_count + len(shop.reps.created)
    orders = f"{plural(placed, 'order')} so far ({len(shop.reps.created)} by a rep), {shop.completed_count:,} completed"
    return f"{orders}, {org_state}; {calls}, {mails}."
