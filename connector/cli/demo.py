"""`connector demo`: a local org, a database and the service in one process, with sample orders."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import AsyncExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.demo_live import run_until_stopped
from connector.cli.demo_mail import DemoMail, open_demo_mail
from connector.cli.demo_reps import open_demo_reps, print_verified
from connector.cli.demo_shop import BATCH, DemoShop
from connector.cli.extras import require_localorg
from connector.cli.localorg import running_org
from connector.cli.output import program, table
from connector.cli.progress import NullProgress, Progress
from connector.cli.runner import run
from connector.errors import UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.push_summary import PushSummary
    from connector.localorg.server import LocalOrg
    from connector.model.order import Order
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


@app.command(short_help="Run a demo: local org, database and orders in one.")
def demo(
    once: Annotated[bool, typer.Option("--once", help="Complete the orders, print the summary, and exit.")] = False,
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="Orders to start with.")] = 40,
    rate: Annotated[float, typer.Option(min=MIN_RATE, max=200, help="New orders a second (without --once).")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the local org; 0 takes a free one.")] = 0,
    console_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the console; a free one if it is taken.")
    ] = 8080,
    data: Annotated[
        Path | None, typer.Option(help="Keep database and org in this folder; without it, they are deleted at the end.")
    ] = None,
) -> None:
    """Run the connector against a local Salesforce org: no account, no network, no setup.

    Orders are placed in a local database and move through their life; after each step the connector sends what changed.
    Meanwhile a sales rep works in the org, and what they do comes back. Then both sides are compared.

    Unless --once, the shop, the rep and the service go on until Ctrl-C, and a link signs you in to the console.
    Your own settings (CONNECTOR_…, .env) are not used.
    """
    require_localorg("demo")
    if data is not None and data.exists() and not data.is_dir():
        raise UsageError(f"--data: {data} is a file.", hint="Name a folder.")
    if not run(_demo(once=once, count=orders, rate=rate, ports=(port, 0 if once else console_port), data=data)):
        raise typer.Exit(1)


def demo_files() -> Path:
    """Return the folder of the demo's customers, products and org seed: in the checkout, or in the package."""
    packaged = Path(str(files("connector"))) / "_data" / "demo"
    return packaged if packaged.is_dir() else Path(str(files("connector"))).parent / "fixtures" / "demo"


async def _demo(*, once: bool, count: int, rate: float, ports: tuple[int, int], data: Path | None) -> bool:
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
            running_org(Ports(ports[0], grpc=0), data=folder / "org.db", seed=demo_files() / "org.yaml")
        )
        mail = await stack.enter_async_context(open_demo_mail(ports[1]))
        settings = _settings(org, folder, mail, write_mappings(folder / "mappings"))
        store = Store.open(settings.database_url)
        try:
            await schema.upgrade(store)
        finally:
            await store.close()
        service = await stack.enter_async_context(running_service(settings))
        await import_files(service.store, [demo_files()], None, progress=NullProgress())
        await stack.enter_async_context(mail.serving(service))
        reps = await stack.enter_async_context(open_demo_reps(service))
        shop = await DemoShop.open(service, mail, reps)
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
            await run_until_stopped(shop, org, rate)
        elif data is None:
            typer.echo(f"Next: `{program()} localorg` starts an org where you can try your own files.")
        if data is not None:
            typer.echo(f"Kept: CONNECTOR_DATABASE_URL={settings.database_url} {program()} status")
        return in_sync


def write_mappings(folder: Path) -> Path:
    """Write the shipped mappings to a folder, but with a phone that a person is asked about if both sides change it."""
    from connector.mapping.loader import shipped_mappings

    with as_file(shipped_mappings()) as shipped:
        shutil.copytree(shipped, folder, dirs_exist_ok=True)
    customer = folder / "customer.yaml"
    text = customer.read_text(encoding="utf-8")
    customer.write_text(text.replace("{path: phone, owner: newest}", "{path: phone, owner: ask}"), encoding="utf-8")
    return folder


def _settings(org: LocalOrg, folder: Path, mail: DemoMail, mappings: Path) -> Settings:
    from pydantic import SecretStr

    from connector.settings import Settings
    from connector.settings.checks import PREFIX
    from connector.settings.http import HttpSettings
    from connector.settings.salesforce import SalesforceSettings

    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        del os.environ[name]  # the demo is the same everywhere
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        database_url=f"sqlite:///{folder / 'connector.db'}",
        mappings_dir=mappings,
        rules_file=_write_rules(folder / "rules.yaml"),
        salesforce=SalesforceSettings(
            login_url=org.url,
            client_id=org.client_id,
            client_secret=SecretStr(org.client_secret),
            pubsub_endpoint=str(org.pubsub_endpoint),
        ),
        http=HttpSettings(public_url=mail.public_url),
        messages=mail.settings,
    )


def _write_rules(file: Path) -> Path:
    """The packaged rules for a shop that sells within minutes what others sell in days: many orders of a customer in a
    day are no fraud there."""
    from connector.orders.policy.rules import shipped

    usual, here = "orders_of_the_day > 20", "orders_of_the_day > 2000"
    text = shipped()
    assert usual in text
    file.write_text(text.replace(usual, here), encoding="utf-8")
    return file


async def _run_lifecycle(shop: DemoShop, org: LocalOrg, count: int) -> int:
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
