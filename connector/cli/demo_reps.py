"""The demo's sales rep: what they do in the org while the demo runs, and whether all of it has come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import typer

from connector.cli.progress import NullProgress
from connector.wording import plural

if TYPE_CHECKING:
    import asyncio

    from connector.demo.reps import SalesRep
    from connector.jobs.listen import ListenerRole
    from connector.model.action_request import ReceivedAction
    from connector.model.customer import Customer
    from connector.model.product import Product
    from connector.service import Services

LONGEST_WAIT = 30.0
"""Seconds until what the rep did must have come back."""
LOOK_SECONDS = 0.05
MOST_AT_ONCE = 3
"""Customers and orders that the rep edits in one round."""
CURRENCY = "USD"


EARLY = frozenset({"placed", "verified", "confirmed"})
"""The stages in which an order can be edited and held."""
MOST_SEARCHED = 200


class Shop(Protocol):
    """What the rep needs of the demo's shop."""

    customers: Sequence[Customer]
    products: Sequence[Product]
    open_numbers: list[str]
    watched: str


@dataclass(kw_only=True)
class DemoReps:
    """`phones` and `notes`: what the rep wrote last, by customer and by order. `asked` counts actions; `created` are
    the numbers here of orders that the rep created."""

    service: Services
    rep: SalesRep
    phones: dict[str, str] = field(default_factory=dict, init=False)
    notes: dict[str, str] = field(default_factory=dict, init=False)
    asked: int = field(default=0, init=False)
    created: list[str] = field(default_factory=list, init=False)

    async def edit(self, customers: Sequence[Customer], numbers: Sequence[str]) -> None:
        """Change the phones of some customers and the notes of some orders."""
        start = len(self.phones)
        some = [customers[(start + index) % len(customers)] for index in range(min(MOST_AT_ONCE, len(customers)))]
        phones = {customer.number: f"+1 555 01{(start + index) % 100:02}" for index, customer in enumerate(some)}
        await self.rep.change("Account", "Phone", phones)
        self.phones |= phones
        notes = dict.fromkeys(numbers[:MOST_AT_ONCE], "Call the customer before delivery.")
        if notes:
            await self.rep.change("Order", "Description", notes)
            self.notes |= notes

    async def ask(self, number: str, action: str, reason: str | None = None) -> None:
        """Ask for an action on an order."""
        await self.rep.ask(number, action, **({} if reason is None else {"Reason__c": reason}))
        self.asked += 1

    async def create_order(self, customer: Customer, products: Sequence[Product]) -> None:
        """Create an order in the org, of the first two products."""
        lines = [
            (product.sku, quantity, price)
            for quantity, product in enumerate(products[:2], start=1)
            if (price := _price(product)) is not None
        ]
        today = self.service.clock.now().date().isoformat()
        number = await self.rep.create_order(customer.number, lines, on=today, notes="Agreed on the phone.")
        self.created.append(f"{self.service.settings.inbound.adopt_prefix}{number}")

    async def begin(self, shop: Shop) -> None:
        """Edit records, hold one new order, cancel another, and create one, which the shop takes on."""
        first, *others = shop.open_numbers
        shop.watched = first
        await self.edit(shop.customers, [first, *others[:-1]])
        await self.ask(first, "hold", "credit")
        if others:
            await self.ask(others[-1], "cancel", "The customer has changed their mind.")
        await self.create_order(shop.customers[0], shop.products)
        await self.wait()
        shop.open_numbers += self.created

    async def object(self, shop: Shop) -> None:
        """Release the order on hold, and try to cancel one that has left."""
        first, *others = shop.open_numbers
        await self.ask(first, "release")
        if others:
            await self.ask(others[0], "cancel", "Too late, as the rep will be told.")
        await self.wait()

    async def work(self, shop: Shop) -> None:
        """Now and then, while the demo goes on: some edits, a hold and a new order."""
        from connector.store import orders

        async with self.service.store.reader() as connection:
            loaded = await orders.load(connection, shop.open_numbers[:MOST_SEARCHED])
        early = await self.rep.find("Order", [order.number for order in loaded if order.stage in EARLY])
        await self.edit(shop.customers, early)
        if early:
            await self.ask(early[0], "hold", "manual")
        known = len(self.created)
        await self.create_order(shop.customers[known % len(shop.customers)], shop.products)
        await self.wait()
        shop.open_numbers += self.created[known:]

    async def wait(self) -> bool:
        """Wait until everything has come back; False if some of it has not within half a minute."""
        import asyncio

        deadline = asyncio.get_running_loop().time() + LONGEST_WAIT
        while await self._missing():
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    async def _missing(self) -> int:
        """How much of what the rep did is not here yet."""
        from connector.store import customers, order_actions, orders

        async with self.service.store.reader() as connection:
            people = {item.number: item.phone for item in await customers.load(connection, list(self.phones))}
            loaded = {item.number: item for item in await orders.load(connection, [*self.notes, *self.created])}
            handled = (await order_actions.counts(connection)).values()
        return (
            sum(people.get(key) != phone for key, phone in self.phones.items())
            + sum(loaded[key].header.notes != text for key, text in self.notes.items())
            + sum(number not in loaded for number in self.created)
            + max(0, self.asked - sum(handled))
        )

    async def tell(self) -> bool:
        """Print what came back, and what both sides hold now; False if they differ."""
        from connector.model.action_request import ActionState
        from connector.store import order_actions

        complete = await self.wait()
        async with self.service.store.reader() as connection:
            counts = await order_actions.counts(connection)
            refused = await order_actions.list_latest(connection, state=ActionState.REFUSED, limit=1)
        typer.echo(
            f"\nA sales rep in Salesforce changed {plural(len(self.phones), 'phone')} and the notes of"
            f" {plural(len(self.notes), 'order')}, created {plural(len(self.created), 'order')}, and asked for"
            f" {plural(self.asked, 'action')}: {counts[ActionState.ACCEPTED]} carried out,"
            f" {counts[ActionState.REFUSED]} refused."
        )
        for action in refused:
            typer.echo(f"Refused, and told to the rep: {_quoted(action)}")
        late = f"Some of it has not come back within {LONGEST_WAIT:.0f} seconds."
        typer.echo("All of it has come back." if complete else late)
        return complete


def _price(product: Product) -> Decimal | None:
    return next((price.unit_price for price in product.prices if price.currency == CURRENCY), None)


def _quoted(action: ReceivedAction) -> str:
    return f"{action.request.action} of order {action.request.order}: {action.message!r}"


async def print_verified(service: Services) -> bool:
    """Compare every record of both sides, and print how many agree; False if some do not."""
    from connector.jobs.reconcile import ReconcileOptions

    summary = await service.reconcile(ReconcileOptions(), NullProgress())
    result = summary.result
    states = Counter[str]()
    for counts in result.counts.values():
        states.update({state.replace("_", " "): count for state, count in counts.items() if count})
    others = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()) if state != "verified")
    typer.echo(
        f"Reconciled: {result.verified:,} of {result.total():,} accounts, products, orders and order products are equal"
        f" field by field{f'; {others}' if others else ''}."
    )
    return result.verified == result.total()


@asynccontextmanager
async def open_demo_reps(service: Services) -> AsyncIterator[DemoReps]:
    """The rep, signed in, and the connector listening to the org."""
    import asyncio

    from connector.demo.reps import SalesRep, rep_session
    from connector.jobs.listen import ListenerRole

    role = ListenerRole(service.inbound_context)
    task = asyncio.create_task(role.run())
    try:
        async with rep_session(service) as session:
            await wait_until(lambda: _listens(role, task))
            yield DemoReps(service=service, rep=SalesRep(session))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _listens(role: ListenerRole, task: asyncio.Task[None]) -> bool:
    if task.done():
        task.result()  # raises what ended it
    return role.changes.stats.subscribed and (role.actions is None or role.actions.stats.subscribed)


async def wait_until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what the org tells. Raises TimeoutError after half a minute."""
    import asyncio

    async with asyncio.timeout(LONGEST_WAIT):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
