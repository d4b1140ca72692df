"""One thing asked of one order, by whatever way it comes in: verification and allocation go by the rules."""

from __future__ import annotations

from connector.model.changing import unsettles
from connector.model.event import Action
from connector.model.lifecycle import check
from connector.model.stage import Stage
from connector.orders.allocation import allocate
from connector.orders.desk import Command, Desk
from connector.orders.verification import recheck, verify

SOLD = (Stage.CONFIRMED, Stage.FULFILLING)


async def ask(desk: Desk, command: Command) -> None:
    """Carry `command` out; CommandError if the order does not allow it.

    To verify may put the order on hold instead; to allocate without lines takes what there is, where it suits best. A
    change of what was verified puts a confirmed order on hold, if the rules say so: it does not become unconfirmed.
    """
    event = command.event
    if event.action in {Action.VERIFY, Action.ALLOCATE}:
        if await desk.repeats(command):
            return
        [(order, _)] = (await desk.load([command.number])).values()
        desk.check_version(order, command.version)
        check(order.progress, event)
    if event.action is Action.VERIFY:
        await verify(desk, [command.number], asked=command)
    elif event.action is Action.ALLOCATE and not event.lines:
        await allocate(desk, [command.number], asked=command)
    else:
        [progress] = await desk.act([command])
        if (command.number, command.request) in desk.repeated:
            return
        if event.action is Action.CHANGE and unsettles(event) and progress.stage in SOLD:
            await recheck(desk, command.number)
