"""The demo goes on: a shop, a sales rep, the service, and the console for whoever watches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from connector.cli.demo_reps import wait_until
from connector.cli.demo_shop import DISPUTED, REFUSED, DemoShop
from connector.cli.output import program
from connector.cli.progress import NullProgress
from connector.cli.runner import until_stopped
from connector.wording import plural

if TYPE_CHECKING:
    from connector.localorg.server import LocalOrg

REPORT_SECONDS = 5.0
"""Seconds between two progress lines."""
LOOK_FIRST = {
    "Refused": "a customer that Salesforce refuses: correct the phone, and it is sent",
    "Conflicts": "a phone that both sides changed: decide which is right",
    "Orders": "{order}: its journey in both directions, and what you can do with it",
}
"""Entries of the menu of the console."""
VISITOR = "visitor"
"""The token of whoever watches; the shop acts as `demo`."""


async def run_until_stopped(shop: DemoShop, org: LocalOrg, rate: float) -> None:
    """Place `rate` new orders a second and advance the open ones, beside the service and the console, until stopped."""
    from connector.process_roles import SCHEDULER, WORKER, running_roles

    await _leave_something_to_decide(shop)
    link = await _make_link(shop)
    async with running_roles(shop.service.settings, [WORKER, SCHEDULER]):
        typer.echo(f"Open the console; this link signs you in, once:\n\n    {link}\n")
        typer.echo("Look first at")
        for title, what in LOOK_FIRST.items():
            typer.echo(f"  {title:<12} {what.format(order=shop.watched)}")
        typer.echo(f"  Salesforce   {org.page_url}: the same orders, as a sales rep sees them")
        typer.echo(f"  Mails        {shop.mail.catcher.url}: what customers were sent, with links to tracking pages\n")
        database, here = shop.service.settings.database_url, f"CONNECTOR_HTTP__PUBLIC_URL={shop.mail.public_url}"
        typer.echo("Another link, after you signed out:")
        typer.echo(f"  CONNECTOR_DATABASE_URL={database} {here} {program()} tokens link {VISITOR}\n")
        typer.echo(f"From now on, the shop places about {_rate_text(rate)}; Ctrl-C stops.")
        await _go_on(shop, org, rate)


def _rate_text(rate: float) -> str:
    return f"{rate:g} {'order' if rate == 1 else 'orders'} per second"


async def _go_on(shop: DemoShop, org: LocalOrg, rate: float) -> None:
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
        if loop.time() - reported_at >= REPORT_SECONDS:
            reported_at = loop.time()
            await shop.reps.work(shop)
            typer.echo(await _progress_line(shop, org))
        await asyncio.wait([stop], timeout=1.0)
    typer.echo(f"Stopped. {await _progress_line(shop, org)}")


async def _leave_something_to_decide(shop: DemoShop) -> None:
    """A phone that both sides change before either hears of it, and one that does not fit into the org's field."""
    from connector.model.customer import Customer
    from connector.store import conflicts, customers

    service = shop.service
    disputed = Customer(number=DISPUTED, name="Nordlicht Kaffee GmbH", phone="+49 421 5550120", country="Germany")
    refused = Customer(number=REFUSED, name="Old Town Grocers", phone="+1 555 0123", country="USA")

    async def save(*changed: Customer) -> None:
        async with service.store.transaction() as uow:
            await customers.save(uow, changed)

    async def is_disputed() -> bool:
        async with service.store.reader() as connection:
            return await conflicts.count_open(connection) > 0

    await save(disputed, refused)
    await service.push(NullProgress())
    await save(replace(disputed, phone="+49 421 5550199"))
    await shop.reps.rep.change("Account", "Phone", {DISPUTED: "+49 170 5550177"})
    await wait_until(is_disputed)
    await save(replace(refused, phone="+1 555 0123 before ten, +1 555 0124 in the afternoon"))


async def _make_link(shop: DemoShop) -> str:
    from connector.model.role import Role
    from connector.store import console_sessions, tokens

    async with shop.service.store.transaction() as uow:
        if await tokens.get(uow.connection, VISITOR) is None:
            await tokens.create(uow, VISITOR, Role.ADMIN, actor=VISITOR)
        secret = await console_sessions.make_link(uow, VISITOR, actor=VISITOR)
    return f"{shop.mail.public_url}/signin?link={secret}"


async def _progress_line(shop: DemoShop, org: LocalOrg) -> str:
    from connector.model.change import ChangeState
    from connector.model.stage import Stage
    from connector.store import orders as stored
    from connector.store import outbox_counts

    async with shop.service.store.reader() as connection:
        stages = await stored.counts(connection)
        unsent = (await outbox_counts.counts(connection)).values()
    due = sum(count for states in unsent for state, count in states.items() if state is ChangeState.DUE)
    calls = plural(org.org.usage.calls, "API call")
    mails = plural(shop.mail.received_count, "mail")
    placed, by_rep = sum(stages.values()), len(shop.reps.created)
    orders = f"{plural(placed, 'order')} so far ({by_rep} by a rep), {stages[Stage.COMPLETED]:,} completed"
    return f"{orders}, {'all in the org' if not due else f'{due:,} on their way to the org'}; {calls}, {mails}."
