"""The demo's shop: it places orders and moves them through their life."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from connector.cli.demo_mail import DemoMail
from connector.cli.demo_reps import DemoReps

if TYPE_CHECKING:
    from connector.model.customer import Customer
    from connector.model.order import Order
    from connector.model.product import Product
    from connector.service import Services

DISPUTED, REFUSED = "C-2001", "C-2002"
"""A customer whose phone both sides change, and one whose phone is too long for the org; neither orders anything."""
APART = frozenset({DISPUTED, REFUSED})
BATCH = 200
ON_HAND = 1_000_000


@dataclass(kw_only=True)
class DemoShop:
    """The shop of the demo.

    `watched`: an order with which much happens. `open_numbers`: orders that are not done yet; `placed_count`: all that
    were ever placed.
    """

    service: Services
    mail: DemoMail
    reps: DemoReps
    customers: Sequence[Customer]
    products: Sequence[Product]
    placed_count: int
    watched: str = field(default="", init=False)
    open_numbers: list[str] = field(default_factory=list, init=False)

    @classmethod
    async def open(cls, service: Services, mail: DemoMail, reps: DemoReps) -> DemoShop:
        from connector.store import customers, orders, products

        async with service.store.reader() as connection:
            known = [key async for key in customers.keys(connection) if key not in APART]
            all_customers = await customers.load(connection, known)
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
        """Advance each of these orders by one step, and return them; those that a person has touched are left to
        people."""
        from connector.demo.simulation import advance
        from connector.store import orders
        from connector.store.queries.order_events import list_touched_by_people

        advanced: list[Order] = []
        for start in range(0, len(numbers), BATCH):
            batch = numbers[start : start + BATCH]
            async with self.service.store.reader() as connection:
                touched = await list_touched_by_people(connection, batch)
                loaded = await orders.load(connection, [number for number in batch if number not in touched])
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
        self.open_numbers = [number for number in self.open_numbers if number not in done]
        async with self.service.store.reader() as connection:
            replacement_numbers = [f"{number}-R1" for number in done]
            self.open_numbers += [order.number for order in await orders.load(connection, replacement_numbers)]
