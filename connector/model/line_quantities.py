"""Allocate, deallocate, pick and cancel, applied to the line quantities of an order. PURE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from connector.model.actions import Action
from connector.model.events import HouseEvent
from connector.model.order_state import LineState, OrderState
from connector.model.rejections import increased, quantities

Up = Callable[[Decimal, Decimal, Decimal, str], Decimal]
"""(value, increase, limit, description of the remainder) -> the new value; see `rejections.increased`."""


def apply_quantity_event(state: OrderState, event: HouseEvent) -> OrderState:
    """Return `state` after the event; CommandError for a quantity that is too large."""
    lines = dict(state.lines)
    for number, quantity in quantities(state, event):

        def up(value: Decimal, by: Decimal, limit: Decimal, what: str, line: int = number) -> Decimal:
            return increased(state, event, line, value, by, limit, what)

        lines[number] = _MOVES[event.action](lines[number], quantity, up, state.packed(number))
    return replace(state, lines=lines)


def _allocated(line: LineState, quantity: Decimal, up: Up, packed: Decimal) -> LineState:
    return replace(line, allocated=up(line.allocated, quantity, line.wanted, "is left to allocate"))


def _deallocated(line: LineState, quantity: Decimal, up: Up, packed: Decimal) -> LineState:
    up(line.picked, quantity, line.allocated, "is allocated and not picked")
    return replace(line, allocated=line.allocated - quantity)


def _picked(line: LineState, quantity: Decimal, up: Up, packed: Decimal) -> LineState:
    return replace(line, picked=up(line.picked, quantity, line.allocated, "is allocated and not picked"))


def _canceled(line: LineState, quantity: Decimal, up: Up, packed: Decimal) -> LineState:
    """Cancel unallocated goods first, then allocated ones, then picked ones, which go back to the shelf."""
    most = line.quantity - line.shipped - packed
    what = "is neither packed nor shipped" if line.canceled < most else "is left to cancel"
    canceled = up(line.canceled, quantity, most, what)
    remaining = line.quantity - canceled
    return replace(
        line, canceled=canceled, allocated=min(line.allocated, remaining), picked=min(line.picked, remaining)
    )


_MOVES: Mapping[Action, Callable[[LineState, Decimal, Up, Decimal], LineState]] = {
    Action.ALLOCATE: _allocated,
    Action.DEALLOCATE: _deallocated,
    Action.PICK: _picked,
    Action.CANCEL: _canceled,
}
