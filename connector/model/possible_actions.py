"""What can be asked of an order now, with the largest quantities and amounts. PURE.

The stages and the holds decide by the table of transitions; then something must be left to act on. An action that is
for one shipment or one return is possible once for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from connector.model.action_fields import REQUESTABLE
from connector.model.actions import Action
from connector.model.event_defaults import largest_quantities
from connector.model.holds import Hold
from connector.model.order_state import LineState, OrderState
from connector.model.payments import largest_amount
from connector.model.returns import expected
from connector.model.shipments import IN_HOUSE, ON_THE_WAY, Return, ReturnStatus
from connector.model.transitions import HELD, STAGES


@dataclass(frozen=True, kw_only=True, slots=True)
class PossibleAction:
    """An action that the order allows now.

    `shipment`, `return_number`: which one it is for. `most`: the largest quantity by line. `amount`: what is left to
    invoice, authorize, capture or refund; `most_amount`: the largest one. `holds`: those to choose from.
    """

    action: Action
    shipment: int | None = None
    return_number: int | None = None
    most: Mapping[int, Decimal] = field(default_factory=dict)
    amount: Decimal | None = None
    most_amount: Decimal | None = None
    holds: tuple[Hold, ...] = ()


def list_possible_actions(state: OrderState) -> list[PossibleAction]:
    """Return the actions that the order allows now, in the sequence of their declaration."""
    return [item for action in REQUESTABLE if is_allowed(state, action) for item in _ways(state, action)]


def is_allowed(state: OrderState, action: Action) -> bool:
    """Return whether the stage and the holds of the order allow the action, whatever is left of it."""
    return state.stage in STAGES[action] and not (action in HELD and state.holds)


def _ways(state: OrderState, action: Action) -> Iterator[PossibleAction]:
    match action:
        case Action.CHANGE | Action.VERIFY | Action.CONFIRM | Action.DECLINE:
            yield PossibleAction(action=action)
        case Action.SHIP:
            yield from _of_shipments(state, action)
            yield from _of_lines(action, largest_quantities(state, action))
        case Action.UNPACK | Action.LABEL | Action.TRACK | Action.DELIVER:
            yield from _of_shipments(state, action)
        case Action.INVOICE | Action.AUTHORIZE | Action.CAPTURE | Action.REFUND:
            yield from _of_money(state, action)
        case Action.HOLD:
            yield from _of_holds(action, (hold for hold in Hold if hold not in state.holds))
        case Action.ESCALATE | Action.RELEASE:
            yield from _of_holds(action, (hold for hold in Hold if hold in state.holds))
        case _ if action in _LEFT_OF_RETURN:
            yield from _of_returns(state, action)
        case _:
            yield from _of_lines(action, _left_of_lines(state, action))


def _left_of_lines(state: OrderState, action: Action) -> Mapping[int, Decimal]:
    if action not in _LEFT:
        return largest_quantities(state, action)
    left = {number: _LEFT[action](state, number, line) for number, line in state.lines.items()}
    return {number: quantity for number, quantity in left.items() if quantity > 0}


_LEFT: Mapping[Action, Callable[[OrderState, int, LineState], Decimal]] = {
    Action.ALLOCATE: lambda state, number, line: line.wanted - line.allocated,
    Action.SPLIT: lambda state, number, line: line.wanted - line.allocated,
    Action.REQUEST_RETURN: lambda state, number, line: line.delivered - line.returned - expected(state, number),
}


def _of_lines(action: Action, most: Mapping[int, Decimal]) -> Iterator[PossibleAction]:
    if most:
        yield PossibleAction(action=action, most=most)


def _of_shipments(state: OrderState, action: Action) -> Iterator[PossibleAction]:
    among = ON_THE_WAY if action in {Action.TRACK, Action.DELIVER} else IN_HOUSE
    for number, parcel in sorted(state.shipments.items()):
        if parcel.status in among:
            yield PossibleAction(action=action, shipment=number)


def _of_money(state: OrderState, action: Action) -> Iterator[PossibleAction]:
    most = largest_amount(state, action)
    if most > 0:
        usual = state.net - state.due if action is Action.REFUND else most
        yield PossibleAction(action=action, amount=usual if usual > 0 else None, most_amount=most)


def _of_holds(action: Action, holds: Iterable[Hold]) -> Iterator[PossibleAction]:
    if among := tuple(holds):
        yield PossibleAction(action=action, holds=among)


def _of_returns(state: OrderState, action: Action) -> Iterator[PossibleAction]:
    for number, item in sorted(state.returns.items()):
        most = _LEFT_OF_RETURN[action](item)
        if most is not None:
            yield PossibleAction(action=action, return_number=number, most=most)


def _in(*among: ReturnStatus) -> Callable[[Return], Mapping[int, Decimal] | None]:
    return lambda item: {} if item.status in among else None


def _to_receive(item: Return) -> Mapping[int, Decimal] | None:
    if item.status not in {ReturnStatus.APPROVED, ReturnStatus.RECEIVED}:
        return None
    left = {number: line.requested - line.received for number, line in item.lines.items()}
    return {number: quantity for number, quantity in left.items() if quantity > 0} or None


def _to_inspect(item: Return) -> Mapping[int, Decimal] | None:
    if item.status is not ReturnStatus.RECEIVED:
        return None
    left = {number: line.received - line.inspected for number, line in item.lines.items()}
    return {number: quantity for number, quantity in left.items() if quantity > 0} or None


def _to_close(item: Return) -> Mapping[int, Decimal] | None:
    is_open = item.status in {ReturnStatus.APPROVED, ReturnStatus.RECEIVED}
    return {} if is_open and _to_inspect(item) is None else None


_LEFT_OF_RETURN: Mapping[Action, Callable[[Return], Mapping[int, Decimal] | None]] = {
    Action.APPROVE_RETURN: _in(ReturnStatus.REQUESTED),
    Action.REJECT_RETURN: _in(ReturnStatus.REQUESTED),
    Action.LABEL_RETURN: _in(ReturnStatus.APPROVED),
    Action.RECEIVE_RETURN: _to_receive,
    Action.INSPECT_RETURN: _to_inspect,
    Action.CLOSE_RETURN: _to_close,
}
"""By the action on a return: the largest quantities by line, empty if it has none; None if it is not possible."""
