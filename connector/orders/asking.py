"""One thing asked of one order, by whatever way it comes in: verification and allocation go by the rules."""

from __future__ import annotations

from connector.model.event import Action
from connector.orders.allocation import allocate
from connector.orders.desk import Command, Desk
from connector.orders.verification import verify


async def ask(desk: Desk, command: Command) -> None:
    """Carry `command` out; CommandError if the order does not allow it.

    To verify may put the order on hold instead; to allocate without lines takes what there is, where it suits best.
    """
    event = command.event
    if event.action is Action.VERIFY:
        await verify(desk, [command.number], asked=command)
    elif event.action is Action.ALLOCATE and not event.lines:
        await allocate(desk, [command.number], asked=command)
    else:
        await desk.act([command])
