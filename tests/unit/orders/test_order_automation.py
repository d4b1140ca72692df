"""Order automation: placed orders are verified or held, waiting orders allocated, old holds escalated once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest
import structlog
from sqlalchemy import select

from connector.errors import CommandError
from connector.jobs import order_automation as job
from connector.jobs.order_automation import AutomationReport, run_order_automation
from connector.model.actions import Action
from connector.model.events import Event, PlaceHold, ReleaseHold
from connector.model.holds import Hold
from connector.model.order_state import OrderState
from connector.model.transitions import apply
from connector.orders import transaction
from connector.orders.command import OrderCommand
from connector.orders.policy.rules import standard
from connector.orders.policy.verification import verify
from connector.orders.service import OrderService
from connector.orders.transaction import OrderTransaction
from connector.store import order_history, orders, stock
from connector.store.engine import Store
from connector.store.tables import holds, order_events
from tests.db_locks import blocked
from tests.mail_servers import RULES, owed
from tests.unit.store import samples
from tests.unit.store.samples import placements

WHOLE = {"ship_to_street": "Rue 1", "ship_to_country": "France"}


async def test_run_verifies_holds_and_allocates_what_is_possible(store: Store) -> None:
    clock: Any = store.clock
    await samples.stock(store)
    async with store.transaction() as uow:
        await orders.save(uow, [samples.order("imported")])
        await OrderTransaction(uow, actor="shop").place(placements([samples.order("1", **WHOLE), samples.order("2")]))
    assert await run_order_automation(store, OrderService(store, standard)) == AutomationReport(verified=1, held=1)
    async with store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(5)})
    assert await run_order_automation(store, OrderService(store, standard)) == AutomationReport(allocated=1)
    assert not await run_order_automation(store, OrderService(store, standard))
    clock.advance(25 * 3600)
    assert await run_order_automation(store, OrderService(store, standard)) == AutomationReport(escalated=1)
    assert not await run_order_automation(store, OrderService(store, standard))
    async with store.reader() as connection:
        entries = await order_history.read(connection, "2")
        [hold] = (await connection.execute(select(holds))).all()
        [imported] = await orders.load(connection, ["imported"])
    assert [entry.event.action for entry in entries] == [Action.BEGIN, Action.HOLD, Action.ESCALATE]
    assert hold.escalated_at == clock.now()
    assert imported.stage == "placed"


async def held(store: Store, *numbers: str) -> None:
    """Place orders with a hold that is old enough to be escalated."""
    clock: Any = store.clock
    await samples.stock(store)
    async with store.transaction() as uow:
        shop = OrderTransaction(uow, actor="shop")
        await shop.place(placements([samples.order(number, **WHOLE) for number in numbers]))
        event = PlaceHold(hold=Hold.CREDIT, note="over the limit")
        await shop.execute_all([OrderCommand(number=number, event=event) for number in numbers])
    clock.advance(1000 * 3600)


async def times(store: Store, action: Action) -> dict[str, int]:
    """How often the event of `action` happened, by order."""
    async with store.reader() as connection:
        rows = await connection.execute(select(order_events).where(order_events.c.event == action.happened.value))
        return dict(Counter(row.order_number for row in rows))


async def test_two_concurrent_runs_act_on_each_order_once(store: Store) -> None:
    await held(store, "1", "2")
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="shop").place(
            placements([samples.order(number, **WHOLE) for number in ("3", "4")])
        )
        await stock.count(uow, {("CHAI", "EAST"): Decimal(50), ("TOFU", "EAST"): Decimal(50)})
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="anna").load(["1", "2", "3", "4"])
        both = [asyncio.create_task(run_order_automation(store, OrderService(store, lambda: RULES))) for _ in range(2)]
        await blocked(store, 2)
    first, second = await asyncio.gather(*both)
    total = {name: getattr(first, name) + getattr(second, name) for name in asdict(first)}
    assert total == {"verified": 2, "held": 0, "allocated": 2, "escalated": 2}
    assert await times(store, Action.ESCALATE) == {"1": 1, "2": 1}
    assert await times(store, Action.VERIFY) == {"3": 1, "4": 1}
    assert await times(store, Action.ALLOCATE) == {"3": 1, "4": 1}
    assert [order for order, kind, _ in await owed(store) if kind == "escalation"] == ["1", "2"]


async def test_hold_released_during_a_run_is_not_escalated_and_the_run_goes_on(store: Store) -> None:
    await held(store, "1", "2")
    async with store.transaction() as uow:
        release = ReleaseHold(hold=Hold.CREDIT)
        await OrderTransaction(uow, actor="anna").execute_all([OrderCommand(number="1", event=release)])
        tending = asyncio.create_task(run_order_automation(store, OrderService(store, lambda: RULES)))
        await blocked(store, 1)
    assert await tending == AutomationReport(escalated=1, verified=1)
    assert await times(store, Action.ESCALATE) == {"2": 1}


@pytest.mark.parametrize("action", [Action.VERIFY, Action.ALLOCATE, Action.ESCALATE])
async def test_rejected_order_does_not_end_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, action: Action
) -> None:
    await held(store, "1", "2", "3")
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="shop").place(
            placements([samples.order(number, **WHOLE) for number in ("4", "5", "6")])
        )
        await stock.count(uow, {("CHAI", "EAST"): Decimal(50), ("TOFU", "EAST"): Decimal(50)})

    def spoiled(state: OrderState, event: Event) -> OrderState:
        if event.action is action and state.number in {"2", "5"}:
            raise CommandError("No.", field="stage", rule="stage")
        return apply(state, event)

    monkeypatch.setattr(transaction, "apply", spoiled)
    monkeypatch.setattr(job, "BATCH", 2)
    with structlog.testing.capture_logs() as logs:
        done = await run_order_automation(store, OrderService(store, lambda: RULES))
    refused = {"1", "2", "3"} if action is Action.ESCALATE else {"4", "5", "6"}
    assert await times(store, action) == dict.fromkeys(sorted(refused - {"2", "5"}), 1)
    assert [(log["event"], log["order"]) for log in logs] == [("rejected", min(refused & {"2", "5"}))]
    expected = {"verified": 3, "held": 0, "allocated": 3, "escalated": 3}
    short = {Action.VERIFY: {"verified"}, Action.ALLOCATE: {"allocated"}, Action.ESCALATE: {"escalated"}}[action]
    assert asdict(done) == expected | dict.fromkeys(short, 2) | ({"allocated": 2} if action is Action.VERIFY else {})


async def test_orders_for_out_of_stock_products_do_not_block_other_orders(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await samples.stock(store)
    async with store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(5), ("TOFU", "EAST"): Decimal(0)})
        placed = [
            samples.order(number, **WHOLE, service_level=level, lines=(samples.line(1, sku),))
            for number, level, sku in (("1", "same_day", "TOFU"), ("2", "same_day", "TOFU"), ("3", "standard", "CHAI"))
        ]
        await OrderTransaction(uow, actor="shop").place(placements(placed))
        await verify(OrderTransaction(uow, actor="shop"), ["1", "2", "3"])
    monkeypatch.setattr(job, "BATCH", 1)
    monkeypatch.setattr(job, "MOST", 1)
    assert await run_order_automation(store, OrderService(store, standard)) == AutomationReport(allocated=1)
    async with store.reader() as connection:
        found = await orders.load(connection, ["1", "2", "3"])
    assert [order.lines[0].state.allocated for order in found] == [0, 0, 2]
