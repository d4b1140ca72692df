"""Fill in the lines or the amount of an event that names none: everything that is possible now. PURE.

The history keeps the event with these values filled in.
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
from connector.model.money import money_text
from connector.model.order_state import LineState, OrderState
from connector.model.payments import hint_without_rest, largest_amount
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
"""The largest quantity of a line for each action; `packed` is the quantity in parcels that have not left."""


def largest_quantities(state: OrderState, action: Action) -> Mapping[int, Decimal]:
    """Return by line what is left for an action that covers everything without lines; lines of which nothing is left
    are left out."""
    most = _LINES[action]
    lines = {number: most(line, state.packed(number)) for number, line in state.lines.items()}
    return {number: quantity for number, quantity in lines.items() if quantity > 0}


def with_defaults(state: OrderState, event: Event) -> Event:
    """Return `event` with the missing lines or amount filled in; CommandError if there is nothing left to act on."""
    check(state, event)
    match event:
        case IssueInvoice() | Authorize() | Capture() | Refund():
            return event if event.amount is not None else replace(event, amount=_default_amount(state, event))
        case ReceiveReturn():
            return event if event.lines else replace(event, lines=_expected_lines(state, event))
        case Ship() if event.shipment is not None or _has_packed_shipment(state):
            return event
        case Deallocate() | Pick() | Pack() | Ship() | Cancel() | RequestReturn():
            return event if event.lines else replace(event, lines=_default_lines(state, event))
        case _:
            return event


def _has_packed_shipment(state: OrderState) -> bool:
    """Return whether a shipment is packed and has not left."""
    return any(item.status in IN_HOUSE for item in state.shipments.values())


def _default_amount(state: OrderState, event: IssueInvoice | Authorize | Capture | Refund) -> Decimal:
    match event:
        case IssueInvoice():
            amount = state.due - state.invoiced
        case Authorize():
            amount = state.due - state.authorized
        case Capture():
            amount = state.due - state.net
        case Refund():
            amount = state.net - state.due
        case _:
            assert_never(event)
    if amount <= 0:
        is_refund = isinstance(event, Refund)
        what = "owes the customer nothing" if is_refund else f"has nothing left to {event.action}"
        hint = hint_without_rest(state, event.action)
        if is_refund and (most := largest_amount(state, event.action)) > 0:
            hint = f"Give an amount to refund it anyway, {money_text(most, state.places)} at most."
        raise rejection(state, event, "amount", what, hint, "amount")
    return amount


def _default_lines(state: OrderState, event: Event) -> Mapping[int, Decimal]:
    lines = largest_quantities(state, event.action)
    if not lines:
        what = f"has nothing left to {event.action.words}"
        raise rejection(state, event, "lines", what, rule="quantity")
    return lines


def _expected_lines(state: OrderState, event: ReceiveReturn) -> Mapping[int, Decimal]:
    """Return what has not arrived yet of the return of the event; empty if several are possible."""
    open_ones = [
        item
        for number, item in state.returns.items()
        if item.status in {ReturnStatus.APPROVED, ReturnStatus.RECEIVED} and event.return_number in {None, number}
    ]
    if len(open_ones) != 1:
        return {}
    lines = {number: line.requested - line.received for number, line in open_ones[0].lines.items()}
    return {number: quantity for number, quantity in lines.items() if quantity > ZERO}
