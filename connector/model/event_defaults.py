"""What an event means that names no lines or no amount: all that is possible now. PURE.

The history keeps what was meant, in full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from connector.model.actions import Action
from connector.model.events import (
    Authorize,
    Cancel,
    Capture,
    Deallocate,
    Event,
    IssueInvoice,
    Pack,
    Pick,
    ReceiveReturn,
    Refund,
    RequestReturn,
    Ship,
)
from connector.model.order_state import LineState, OrderState
from connector.model.rejections import rejection
from connector.model.shipments import IN_HOUSE, ZERO, ReturnStatus
from connector.model.transitions import check

_LINES: Mapping[Action, Callable[[LineState, Decimal], Decimal]] = {
    Action.DEALLOCATE: lambda line, packed: line.allocated - line.picked,
    Action.PICK: lambda line, packed: line.allocated - line.picked,
    Action.PACK: lambda line, packed: line.picked - line.shipped - packed,
    Action.SHIP: lambda line, packed: line.picked - line.shipped - packed,
    Action.CANCEL: lambda line, packed: line.quantity - line.canceled - line.shipped - packed,
    Action.REQUEST_RETURN: lambda line, packed: line.delivered - line.returned,
}
"""How much of a line an action can concern; `packed` is what of it is in a parcel that has not left."""


def with_defaults(progress: OrderState, event: Event) -> Event:
    """`event` with the lines or the amount that it leaves out; CommandError where nothing is left for it."""
    check(progress, event)
    match event:
        case IssueInvoice() | Authorize() | Capture() | Refund():
            return event if event.amount is not None else replace(event, amount=_amount(progress, event))
        case ReceiveReturn():
            return event if event.lines else replace(event, lines=_coming(progress, event))
        case Ship() if event.shipment is not None or _waits(progress):
            return event
        case Deallocate() | Pick() | Pack() | Ship() | Cancel() | RequestReturn():
            return event if event.lines else replace(event, lines=_lines(progress, event))
        case _:
            return event


def _waits(progress: OrderState) -> bool:
    """Whether a shipment waits to be handed over."""
    return any(item.status in IN_HOUSE for item in progress.shipments.values())


def _amount(progress: OrderState, event: IssueInvoice | Authorize | Capture | Refund) -> Decimal:
    match event:
        case IssueInvoice():
            amount = progress.due - progress.invoiced
        case Authorize():
            amount = progress.due - progress.authorized
        case Capture():
            amount = progress.due - progress.net
        case Refund():
            amount = progress.net - progress.due
        case _:
            assert_never(event)
    if amount <= 0:
        what = "owes nothing back" if isinstance(event, Refund) else f"has nothing left to {event.action}"
        raise rejection(progress, event, "amount", what, "Name an amount, if it is to be all the same.", "amount")
    return amount


def _lines(progress: OrderState, event: Event) -> Mapping[int, Decimal]:
    most = _LINES[event.action]
    lines = {number: most(line, progress.packed(number)) for number, line in progress.lines.items()}
    if not any(quantity > 0 for quantity in lines.values()):
        what = f"has nothing left to {event.action.words}"
        raise rejection(progress, event, "lines", what, rule="quantity")
    return {number: quantity for number, quantity in lines.items() if quantity > 0}


def _coming(progress: OrderState, event: ReceiveReturn) -> Mapping[int, Decimal]:
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
