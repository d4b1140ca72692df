"""What an event means that names no lines or no amount: all that is possible now. PURE.

The history keeps what was meant, in full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from connector.model.events import Action, Event
from connector.model.order_state import LineState, OrderState
from connector.model.rejections import rejection
from connector.model.shipments import IN_HOUSE, ZERO, ReturnStatus
from connector.model.transitions import check

_LINES: Mapping[Action, Callable[[LineState, Decimal], Decimal]] = {
    Action.DEALLOCATE: lambda line, packed: line.allocated - line.picked,
    Action.PICK: lambda line, packed: line.allocated - line.picked,
    Action.PACK: lambda line, packed: line.picked - line.shipped - packed,
    Action.SHIP: lambda line, packed: line.picked - line.shipped - packed,
    Action.CANCEL: lambda line, packed: line.wanted - line.shipped - packed,
    Action.REQUEST_RETURN: lambda line, packed: line.delivered - line.returned,
}
"""How much of a line an action can concern; `packed` is what of it is in a parcel that has not left."""

_AMOUNT: Mapping[Action, Callable[[OrderState], Decimal]] = {
    Action.INVOICE: lambda progress: progress.due - progress.invoiced,
    Action.AUTHORIZE: lambda progress: progress.due - progress.authorized,
    Action.CAPTURE: lambda progress: progress.due - progress.net,
    Action.REFUND: lambda progress: progress.net - progress.due,
}


def with_defaults(progress: OrderState, event: Event) -> Event:
    """`event` with the lines or the amount that it leaves out; CommandError where nothing is left for it."""
    check(progress, event)
    if event.action in _AMOUNT and event.amount is None:
        amount = _AMOUNT[event.action](progress)
        if amount <= 0:
            what = "owes nothing back" if event.action is Action.REFUND else f"has nothing left to {event.action}"
            raise rejection(progress, event, "amount", what, "Name an amount, if it is to be all the same.", "amount")
        return replace(event, amount=amount)
    if event.lines or event.written_off:
        return event
    if event.action is Action.RECEIVE_RETURN:
        return replace(event, lines=_coming(progress, event))
    parcel = event.shipment is not None or any(item.status in IN_HOUSE for item in progress.shipments.values())
    if event.action not in _LINES or (event.action is Action.SHIP and parcel):
        return event
    most = _LINES[event.action]
    lines = {number: most(line, progress.packed(number)) for number, line in progress.lines.items()}
    if not any(quantity > 0 for quantity in lines.values()):
        what = f"has nothing left to {event.action.words}"
        raise rejection(progress, event, "lines", what, rule="quantity")
    return replace(event, lines={number: quantity for number, quantity in lines.items() if quantity > 0})


def _coming(progress: OrderState, event: Event) -> Mapping[int, Decimal]:
    """What is still to come with the return that is meant, if that is clear."""
    open_ones = [
        item
        for number, item in progress.returns.items()
        if item.status in {ReturnStatus.APPROVED, ReturnStatus.RECEIVED} and event.return_number in {None, number}
    ]
    if len(open_ones) != 1:
        return {}
    lines = {number: line.requested - line.received for number, line in open_ones[0].lines.items()}
    return {number: quantity for number, quantity in lines.items() if quantity > ZERO}
