"""Order automation: verify placed orders, allocate stock to waiting orders, escalate holds past their limit.

Each batch of 100 orders is one transaction, so an interactive command waits for one batch at most. Candidates are read
without a lock and checked again under the order's row lock, so two replicas never act twice on one order. If one order
of a batch is rejected, the batch is repeated order by order, and the rejected one is logged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from connector.errors import CommandError
from connector.log import get_logger
from connector.model.stage import Stage
from connector.orders.service import OrderService
from connector.store.engine import Store
from connector.store.queries.backorders import list_orders_waiting_for_stock
from connector.store.queries.holds import list_orders_to_escalate
from connector.store.queries.order_search import list_orders_to_verify

ACTOR = "connector"
BATCH = 100
MOST = 50
"""The maximal number of batches in one run; the rest waits for the next run."""

T = TypeVar("T")

_Command = Callable[[Sequence[str]], Awaitable[list[T]]]

log = get_logger("order_automation")


@dataclass(kw_only=True)
class AutomationReport:
    """Numbers of orders verified or put on hold, of orders allocated (at least in part), and of holds escalated."""

    verified: int = 0
    held: int = 0
    allocated: int = 0
    escalated: int = 0

    def __bool__(self) -> bool:
        return bool(self.verified or self.held or self.allocated or self.escalated)


async def run_order_automation(store: Store, orders: OrderService) -> AutomationReport:
    """Run the automation once over all orders."""
    report = AutomationReport()
    await _escalate(store, orders, report)
    await _verify(store, orders, report)
    await _allocate(store, orders, report)
    return report


async def _verify(store: Store, orders: OrderService, report: AutomationReport) -> None:
    async def candidates(limit: int) -> list[str]:
        async with store.reader() as connection:
            return await list_orders_to_verify(connection, limit)

    async for batch in _batches(candidates, partial(orders.verify_placed, actor=ACTOR)):
        report.held += sum(bool(order.state.holds) for order in batch)
        report.verified += sum(order.stage is Stage.VERIFIED for order in batch)


async def _allocate(store: Store, orders: OrderService, report: AutomationReport) -> None:
    async with store.reader() as connection:
        numbers = await list_orders_waiting_for_stock(connection, limit=BATCH * MOST)
    for start in range(0, len(numbers), BATCH):
        batch, _ = await _together(numbers[start : start + BATCH], partial(orders.allocate, actor=ACTOR))
        report.allocated += sum(item.gained > 0 for item in batch)


async def _escalate(store: Store, orders: OrderService, report: AutomationReport) -> None:
    for reason, hours in orders.rules.escalation.items():
        placed_before = store.clock.now() - timedelta(hours=hours)

        async def candidates(limit: int) -> list[str]:
            async with store.reader() as connection:
                return await list_orders_to_escalate(connection, reason, placed_before, limit=limit)  # noqa: B023

        async for batch in _batches(candidates, partial(orders.escalate, reason, hours, actor=ACTOR)):
            report.escalated += len(batch)


async def _batches(candidates: Callable[[int], Awaitable[list[str]]], command: _Command[T]) -> AsyncIterator[list[T]]:
    """Run `command` on the orders that `candidates` returns, a batch at a time, and yield its results. An order that
    was changed is no candidate any more."""
    rejected: set[str] = set()
    for _ in range(MOST):
        # Rejected orders are returned again, so as many more are requested.
        numbers = [number for number in await candidates(BATCH + len(rejected)) if number not in rejected]
        if not numbers:
            return
        batch, these = await _together(numbers, command)
        rejected |= these
        yield batch
        if len(numbers) < BATCH:
            return


async def _together(numbers: Sequence[str], command: _Command[T]) -> tuple[list[T], set[str]]:
    """Run `command` on these orders in one transaction; if one is rejected, on each order by itself. Return also the
    rejected ones."""
    try:
        return await command(numbers), set()
    except CommandError as error:
        if len(numbers) == 1:
            log.warning("rejected", order=numbers[0], rule=error.rule, why=str(error))
            return [], set(numbers)
    results, rejected = list[T](), set[str]()
    for number in numbers:
        batch, these = await _together([number], command)
        results += batch
        rejected |= these
    return results, rejected
