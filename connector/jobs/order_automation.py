"""What the desk does by itself: verifies what was placed, allocates what waits for stock, escalates old holds.

It works in small transactions, so that people at the desk hardly wait for it. What it has seen is looked at again under
the lock of the order, so that two of it do nothing twice; an order that is refused holds up no other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from connector.errors import CommandError
from connector.model.events import Action, Event
from connector.model.order_state import Hold, OrderState
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.inventory.allocation import allocate
from connector.orders.policy.rules import Rules
from connector.orders.policy.verification import verify
from connector.orders.transaction import OrderTransaction
from connector.store.engine import Connection, Store
from connector.store.queries.backorders import list_orders_waiting_for_stock
from connector.store.queries.holds import list_orders_to_escalate
from connector.store.queries.order_search import list_orders_to_verify

ACTOR = "connector"
BATCH = 100
MOST = 50
"""Transactions of one run; what is left waits for the next."""

_Find = Callable[[Connection, int], Awaitable[list[str]]]
_Act = Callable[[OrderTransaction, Sequence[str]], Awaitable[list[OrderState]]]

log = structlog.get_logger("tend")


@dataclass(kw_only=True)
class AutomationReport:
    """How many orders were verified or put on hold, allocated (at least in part), and holds escalated."""

    verified: int = 0
    held: int = 0
    allocated: int = 0
    escalated: int = 0

    def __bool__(self) -> bool:
        return bool(self.verified or self.held or self.allocated or self.escalated)


async def run_order_automation(store: Store, rules: Rules) -> AutomationReport:
    """One round over all orders."""
    done = AutomationReport()
    await _escalate(store, rules, done)
    await _verify(store, rules, done)
    await _allocate(store, rules, done)
    return done


async def _verify(store: Store, rules: Rules, done: AutomationReport) -> None:
    async def act(transaction: OrderTransaction, mine: Sequence[str]) -> list[OrderState]:
        """Another one may have verified them since they were seen."""
        found = await transaction.load(mine)
        orders_now = [found[number][0] for number in mine]
        still = [order.number for order in orders_now if order.stage is Stage.PLACED and not order.holds]
        return await verify(transaction, still)

    async for found in _rounds(store, rules, list_orders_to_verify, act):
        done.held += sum(bool(progress.holds) for progress in found)
        done.verified += sum(progress.stage is Stage.VERIFIED for progress in found)


async def _allocate(store: Store, rules: Rules, done: AutomationReport) -> None:
    async with store.transaction() as uow:
        numbers = await list_orders_waiting_for_stock(uow.connection, limit=BATCH * MOST)

    async def act(transaction: OrderTransaction, mine: Sequence[str]) -> list[OrderState]:
        found = (await transaction.load(mine)).values()
        before = {order.number: transaction.progress_of(order).sum("allocated") for order, _ in found}
        after = await allocate(transaction, mine)
        return [progress for progress in after if progress.sum("allocated") > before[progress.number]]

    for start in range(0, len(numbers), BATCH):
        done.allocated += len((await _together(store, rules, numbers[start : start + BATCH], act))[0])


async def _escalate(store: Store, rules: Rules, done: AutomationReport) -> None:
    for reason, hours in rules.escalation.items():
        limit = store.clock.now() - timedelta(hours=hours)

        async def find(connection: Connection, most: int, reason: Hold = reason, limit: datetime = limit) -> list[str]:
            return await list_orders_to_escalate(connection, reason, limit, limit=most)

        async for found in _rounds(store, rules, find, partial(_escalated, reason, hours, limit)):
            done.escalated += len(found)


async def _escalated(
    reason: Hold, hours: float, limit: datetime, transaction: OrderTransaction, mine: Sequence[str]
) -> list[OrderState]:
    """Another one may have escalated or released them since they were seen."""
    await transaction.load(mine)
    still = await list_orders_to_escalate(transaction.uow.connection, reason, limit, numbers=mine)
    return await transaction.execute_all([_escalation(number, reason, hours) for number in still])


async def _rounds(store: Store, rules: Rules, find: _Find, act: _Act) -> AsyncIterator[list[OrderState]]:
    """What became of the orders that `find` finds, a batch at a time; it finds no more what was acted on."""
    refused: set[str] = set()
    for _ in range(MOST):
        async with store.reader() as connection:
            # As many more as were refused, which are found again.
            candidates = await find(connection, BATCH + len(refused))
        numbers = [number for number in candidates if number not in refused]
        if not numbers:
            return
        found, these = await _together(store, rules, numbers, act)
        refused |= these
        yield found
        if len(numbers) < BATCH:
            return


async def _together(store: Store, rules: Rules, numbers: Sequence[str], act: _Act) -> tuple[list[OrderState], set[str]]:
    """`act` on these orders in one transaction; if one is refused, on each by itself. Which ones were refused."""
    try:
        async with store.transaction() as uow:
            return await act(OrderTransaction(uow, actor=ACTOR, rules=rules), numbers), set()
    except CommandError as error:
        if len(numbers) == 1:
            log.warning("refused", order=numbers[0], rule=error.rule, why=str(error))
            return [], set(numbers)
    done, refused = list[OrderState](), set[str]()
    for number in numbers:
        found, these = await _together(store, rules, [number], act)
        done += found
        refused |= these
    return done, refused


def _escalation(number: str, reason: Hold, hours: float) -> OrderCommand:
    return OrderCommand(
        number=number, event=Event(action=Action.ESCALATE, hold=reason, note=f"on hold for {hours:g} hours and more")
    )
