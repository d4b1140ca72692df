"""What the desk does by itself: verifies what was placed, allocates what waits for stock, escalates old holds.

It works in small transactions, so that people at the desk hardly wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from connector.model.event import Action, Event
from connector.model.progress import Hold
from connector.model.stage import Stage
from connector.orders.allocation import allocate, waiting
from connector.orders.desk import Command, Desk
from connector.orders.rules import Rules
from connector.orders.verification import verify
from connector.store.engine import Store
from connector.store.tables import holds, orders

ACTOR = "connector"
BATCH = 100
MOST = 50
"""Transactions of one run; what is left waits for the next."""


@dataclass(kw_only=True)
class Tended:
    """How many orders were verified or put on hold, allocated (at least in part), and holds escalated."""

    verified: int = 0
    held: int = 0
    allocated: int = 0
    escalated: int = 0

    def __bool__(self) -> bool:
        return bool(self.verified or self.held or self.allocated or self.escalated)


async def tend(store: Store, rules: Rules) -> Tended:
    """One round over all orders."""
    done = Tended()
    await _escalate(store, rules, done)
    await _verify(store, rules, done)
    await _allocate(store, rules, done)
    return done


async def _verify(store: Store, rules: Rules, done: Tended) -> None:
    on_hold = select(holds.c.order_number)
    # Imported orders that were never acted on are somebody else's: they move by their import.
    statement = (
        select(orders.c.number)
        .where(orders.c.stage == Stage.PLACED.value, orders.c.events > 0, orders.c.number.not_in(on_hold))
        .order_by(orders.c.priority.desc(), orders.c.placed_at, orders.c.number)
        .limit(BATCH)
    )
    for _ in range(MOST):
        async with store.transaction() as uow:
            numbers = list((await uow.connection.execute(statement)).scalars())
            found = await verify(Desk(uow, actor=ACTOR, rules=rules), numbers)
        done.held += sum(bool(progress.holds) for progress in found)
        done.verified += sum(progress.stage is Stage.VERIFIED for progress in found)
        if len(numbers) < BATCH:
            return


async def _allocate(store: Store, rules: Rules, done: Tended) -> None:
    async with store.transaction() as uow:
        numbers = await waiting(Desk(uow, actor=ACTOR, rules=rules), limit=BATCH * MOST)
    for start in range(0, len(numbers), BATCH):
        async with store.transaction() as uow:
            desk = Desk(uow, actor=ACTOR, rules=rules)
            mine = numbers[start : start + BATCH]
            before = {number: order.progress.sum("allocated") for number, (order, _) in (await desk.load(mine)).items()}
            after = await allocate(desk, mine)
        done.allocated += sum(progress.sum("allocated") > before[progress.number] for progress in after)


async def _escalate(store: Store, rules: Rules, done: Tended) -> None:
    for reason, hours in rules.escalation.items():
        for _ in range(MOST):
            async with store.transaction() as uow:
                old = (
                    select(holds.c.order_number)
                    .where(holds.c.reason == reason.value, holds.c.escalated_at.is_(None))
                    .where(holds.c.since <= uow.now - timedelta(hours=hours))
                    .order_by(holds.c.since)
                    .limit(BATCH)
                )
                numbers = list((await uow.connection.execute(old)).scalars())
                await Desk(uow, actor=ACTOR, rules=rules).act(
                    [_escalation(number, reason, hours) for number in numbers]
                )
            done.escalated += len(numbers)
            if len(numbers) < BATCH:
                break


def _escalation(number: str, reason: Hold, hours: float) -> Command:
    return Command(
        number=number, event=Event(action=Action.ESCALATE, hold=reason, note=f"on hold for {hours:g} hours and more")
    )
