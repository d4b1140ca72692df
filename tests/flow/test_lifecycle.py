"""Random lives of orders, several commands at a time: whatever is refused or accepted, the books balance, the history
replays to the same state, and after a push the org tells the same story.

`LIVES=1000 pytest tests/flow/test_lifecycle.py` takes more of them than the tests do.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from connector.cli.localorg import our_metadata
from connector.errors import CommandError
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.model.holds import Hold
from connector.orders.inventory.allocation import allocate, apply_stock_count
from connector.orders.policy.verification import verify
from connector.orders.transaction import OrderTransaction
from connector.service import running_service
from connector.store import orders
from connector.store import stock as stocks
from tests.databases import Databases
from tests.flow.conftest import World, settings_for
from tests.flow.invariants import check_books, check_org
from tests.flow.order_generators import (
    PLACES,
    SKUS,
    Wish,
    ask,
    drafts,
    new_order,
    products,
    random_draft,
    random_wish,
    wishes,
)
from tests.unit.store.samples import placements

LIVES = int(os.environ.get("LIVES", "6"))
STEPS = 15
AT_ONCE = 8
MOST_ORDERS = 24


class Lives(RuleBasedStateMachine):
    """The orders of one shop after another, on one database and one org."""

    world: World
    runner: asyncio.Runner
    outcomes: Counter[str]
    shops = 0
    lived = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).shops += 1
        self.shop = f"L{self.shops}"
        self.numbers: list[str] = []
        self.arrived = {f"{self.shop}-{sku}": Decimal(0) for sku in SKUS}
        self.moved = False
        self.runner.run(self.world.save(some_products=products(self.shop)))
        for place in PLACES:
            for sku in SKUS:
                self.runner.run(self.counted(f"{self.shop}-{sku}", place, Decimal(15)))

    @rule(draft=drafts)
    def place(self, draft: list[tuple[str, Decimal, Decimal]]) -> None:
        if len(self.numbers) < MOST_ORDERS:
            item = new_order(self.shop, len(self.numbers) + 1, draft)
            self.work(lambda transaction: transaction.place(placements([item, item])))

    @precondition(lambda self: self.numbers)
    @rule(some=st.lists(wishes, min_size=1, max_size=AT_ONCE))
    def command(self, some: list[Wish]) -> None:
        """All of them at once; an order may be named several times."""
        asked = [(self.numbers[wish.order % len(self.numbers)], wish) for wish in some]
        self.outcomes.update(self.runner.run(ask(self.world, asked)))
        self.moved = True

    @rule(seed=st.integers(0, 2**32))
    def storm(self, seed: int) -> None:
        """A long stretch of all of it, as a busy day has it."""
        chance = random.Random(seed)
        for _ in range(AT_ONCE):
            self.place(random_draft(chance))
            self.runner.run(self.checked())
        for _ in range(chance.randint(3, 12)):
            self.command([random_wish(chance) for _ in range(AT_ONCE)])

    @precondition(lambda self: self.numbers)
    @rule(which=st.integers(0, 30), times=st.integers(1, 12))
    def live_on(self, which: int, times: int) -> None:
        """One order goes its usual way for a while."""
        number = self.numbers[which % len(self.numbers)]
        for step in range(times):
            wish = Wish(order=which, action=None, part="all", hold=Hold.MANUAL, lucky=step % 2 == 0)
            self.outcomes.update(self.runner.run(ask(self.world, [(number, wish)])))
        self.moved = True

    @precondition(lambda self: self.numbers)
    @rule()
    def verify(self) -> None:
        self.work(lambda transaction: verify(transaction, self.numbers))

    @precondition(lambda self: self.numbers)
    @rule()
    def allocate(self) -> None:
        self.work(lambda transaction: allocate(transaction, self.numbers))

    @rule(sku=st.sampled_from(SKUS), place=st.sampled_from(PLACES), on_hand=st.integers(0, 30).map(Decimal))
    def count_stock(self, sku: str, place: str, on_hand: Decimal) -> None:
        try:
            self.runner.run(self.counted(f"{self.shop}-{sku}", place, on_hand))
        except CommandError as error:
            self.outcomes[f"refused by {error.rule}"] += 1
        self.moved = True

    @precondition(lambda self: self.moved)
    @rule()
    def push(self) -> None:
        self.runner.run(self.pushed())
        self.moved = False

    @invariant()
    def the_books_balance(self) -> None:
        self.runner.run(self.checked())

    def teardown(self) -> None:
        self.runner.run(self.pushed())
        type(self).lived += len(self.numbers)

    def work(self, what: Any) -> None:
        async def do() -> None:
            async with self.world.service.store.transaction() as uow:
                await what(OrderTransaction(uow, actor="test"))

        self.runner.run(do())
        self.moved = True

    async def counted(self, sku: str, place: str, on_hand: Decimal) -> None:
        async with self.world.service.store.transaction() as uow:
            before = (await stocks.levels(uow.connection, [sku])).get((sku, place))
            await apply_stock_count(OrderTransaction(uow, actor="count"), {(sku, place): on_hand})
        self.arrived[sku] += on_hand - (before.on_hand if before else 0)

    async def checked(self) -> None:
        async with self.world.service.store.reader() as connection:
            keys = [key async for key in orders.keys(connection)]
        self.numbers = [key for key in keys if key.startswith(f"{self.shop}-")]
        await check_books(self.world, self.numbers, self.arrived)

    async def pushed(self) -> None:
        await self.checked()
        summary = await self.world.push()
        assert summary.in_sync, await self.world.dead_letters()
        await check_org(self.world, self.numbers, self.shop)


async def opened(stack: AsyncExitStack, url: str) -> World:
    org = await stack.enter_async_context(LocalOrg(OrgOptions(metadata_root=our_metadata())))
    return World(org, await stack.enter_async_context(running_service(settings_for(org, url))))


@pytest.mark.timeout(0)
def test_random_order_lives_balance_replay_and_reach_the_org(databases: Databases) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        Lives.runner, Lives.outcomes = runner, Counter()
        Lives.world = runner.run(opened(stack, databases.migrated()))
        try:
            run_state_machine_as_test(
                Lives,
                settings=settings(
                    max_examples=LIVES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    print_blob=True,
                ),
            )
        finally:
            runner.run(stack.aclose())
    print(f"{Lives.shops} shops, {Lives.lived} orders:", dict(Lives.outcomes.most_common()))
    assert {
        "verify",
        "confirm",
        "allocate",
        "pick",
        "ship",
        "deliver",
        "refused by stage",
        "refused by field",
    } <= Lives.outcomes.keys()
