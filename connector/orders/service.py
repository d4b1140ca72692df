"""One thing asked of one order, by whatever way it comes in: verification and allocation go by the rules."""

from __future__ import annotations

from connector.model.events import Action
from connector.model.order_edits import requires_reverification
from connector.model.order_state import Hold
from connector.model.stage import Stage
from connector.model.transitions import check
from connector.orders.command import OrderCommand
from connector.orders.inventory.allocation import allocate
from connector.orders.policy.verification import recheck, verify
from connector.orders.transaction import OrderTransaction

SOLD = (Stage.CONFIRMED, Stage.FULFILLING)
VERIFIED = (Stage.VERIFIED, *SOLD)


async def execute(transaction: OrderTransaction, command: OrderCommand) -> None:
    """Carry `command` out; CommandError if the order does not allow it.

    To verify may put the order on hold instead; to allocate without lines takes what there is, where it suits best. A
    change of what was verified puts a confirmed order on hold, if the rules say so: it does not become unconfirmed. A
    payment that failed puts a verified order on hold for payment, if the rules say so.
    """
    event = command.event
    if await transaction.is_replay(command):
        return
    if event.action is Action.VERIFY or (event.action is Action.ALLOCATE and not event.lines):
        [(order, _)] = (await transaction.load([command.number])).values()
        transaction.check_version(order, command.version)
        check(transaction.progress_of(order), event)
        by_rules = verify if event.action is Action.VERIFY else allocate
        await by_rules(transaction, [command.number], asked=command)
        return
    [progress] = await transaction.execute_all([command])
    if event.action is Action.CHANGE and requires_reverification(event) and progress.stage in SOLD:
        await recheck(transaction, command.number)
    if event.action is Action.DECLINE and progress.stage in VERIFIED:
        await recheck(transaction, command.number, frozenset({Hold.PAYMENT}))
