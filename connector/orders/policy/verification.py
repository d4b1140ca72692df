"""Verification: a placed order that breaks no rule becomes verified; any other goes on hold."""

from __future__ import annotations

from collections.abc import Sequence

from connector.model.actions import EventKind
from connector.model.events import ChangeOrder, Decline, PlaceHold, ReleaseHold, Verify
from connector.model.holds import Hold
from connector.model.order import Order
from connector.model.order_edits import requires_reverification
from connector.model.stage import Stage
from connector.orders.command import OrderCommand, attribute_to
from connector.orders.policy.order_facts import facts_of
from connector.orders.policy.rules import Failure
from connector.orders.transaction import OrderTransaction
from connector.store.queries.customer_history import load_customer_histories
from connector.store.queries.order_events import list_events


async def verify(
    transaction: OrderTransaction, numbers: Sequence[str], *, command: OrderCommand | None = None
) -> list[str]:
    """Verify these orders, or put them on hold. Orders that are not placed, or are on hold, do not change. Returns the
    numbers of the orders that waited for verification.

    A hold that a person has released is not placed again for the same reason, until the order is changed or, for
    payment, another one fails.
    `command` is the command that asked for this, if there is one: the events are attributed to it.
    """
    waiting = [
        order for order in await transaction.orders(numbers) if order.stage is Stage.PLACED and not order.state.holds
    ]
    failed = await _failed_checks(transaction, waiting)
    commands: list[OrderCommand] = []
    for order in waiting:
        holds = [_hold(order.number, hold, failure) for hold, failure in failed[order.number].items()]
        commands += holds or [OrderCommand(number=order.number, event=Verify())]
    if command is not None:
        commands = attribute_to(command, commands)
    await transaction.execute_all(commands)
    return [order.number for order in waiting]


async def recheck(transaction: OrderTransaction, number: str, among: frozenset[Hold] = frozenset(Hold)) -> None:
    """Put a verified order on hold if it now breaks a rule whose hold is `among` these."""
    [(order, _)] = (await transaction.load([number])).values()
    failed = (await _failed_checks(transaction, [order]))[number]
    wanted = {hold: failure for hold, failure in failed.items() if hold in among - order.state.holds}
    await transaction.execute_all([_hold(number, hold, failure) for hold, failure in wanted.items()])


async def _failed_checks(transaction: OrderTransaction, some: Sequence[Order]) -> dict[str, dict[Hold, Failure]]:
    """Return the failed rules of each order, without hold reasons that a person has released."""
    histories = await load_customer_histories(transaction.uow.connection, some)
    excused = await _released_holds(transaction, [order.number for order in some])
    return {
        order.number: transaction.rules.failed_checks(
            facts_of(order, transaction.uow.now, histories[order.number]),
            excused.get(order.number, frozenset()),
        )
        for order in some
    }


def _hold(number: str, hold: Hold, failure: Failure) -> OrderCommand:
    event = PlaceHold(hold=hold, reference=failure.rules, note=failure.why)
    return OrderCommand(number=number, event=event)


async def _released_holds(transaction: OrderTransaction, numbers: Sequence[str]) -> dict[str, frozenset[Hold]]:
    """Return the hold reasons released since the order was last changed; for payment, since one last failed."""
    kinds = (EventKind.RELEASED, EventKind.CHANGED, EventKind.DECLINED)
    released: dict[str, frozenset[Hold]] = {}
    for number, event in await list_events(transaction.uow.connection, numbers, kinds):
        if isinstance(event, ReleaseHold):
            released[number] = released.get(number, frozenset()) | {event.hold}
        elif isinstance(event, ChangeOrder) and requires_reverification(event):
            released[number] = frozenset()
        elif isinstance(event, Decline):
            released[number] = released.get(number, frozenset()) - {Hold.PAYMENT}
    return released
