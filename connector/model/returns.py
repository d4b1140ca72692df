"""Return events applied to an order: request, approve, reject, label, receive, inspect, close. PURE."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from connector.model.events import (
    ApproveReturn,
    CloseReturn,
    InspectReturn,
    LabelReturn,
    ReceiveReturn,
    RejectReturn,
    RequestReturn,
    ReturnEvent,
)
from connector.model.order_state import OrderState
from connector.model.rejections import checked_quantities, choose_number, increased, quantities, rejection
from connector.model.shipments import ZERO, Resolution, Return, ReturnLine, ReturnReason, ReturnStatus

R = ReturnStatus
OpenReturnEvent = ApproveReturn | RejectReturn | LabelReturn | ReceiveReturn | InspectReturn | CloseReturn


def apply_return_event(state: OrderState, event: ReturnEvent) -> OrderState:
    match event:
        case RequestReturn():
            return _requested(state, event)
        case ApproveReturn():
            return _approved(state, event)
        case RejectReturn():
            return _rejected(state, event)
        case LabelReturn():
            return _labeled(state, event)
        case ReceiveReturn():
            return _received(state, event)
        case InspectReturn():
            return _inspected(state, event)
        case CloseReturn():
            return _closed(state, event)
        case _:
            assert_never(event)


def _requested(state: OrderState, event: RequestReturn) -> OrderState:
    lines = {}
    for number, quantity in quantities(state, event):
        line = state.lines[number]
        before = line.returned + expected(state, number)
        what = "was delivered and is in no return" if before < line.delivered else "is left to return"
        increased(state, event, number, before, quantity, line.delivered, what)
        lines[number] = ReturnLine(requested=quantity)
    return _with_return(
        state,
        Return(
            number=len(state.returns) + 1,
            lines=lines,
            reason=event.reason or ReturnReason.OTHER,
            resolution=event.resolution or Resolution.REFUND,
            requested_on=event.on,
        ),
    )


def _approved(state: OrderState, event: ApproveReturn) -> OrderState:
    return _with_return(state, replace(_chosen_return(state, event, R.REQUESTED), status=R.APPROVED))


def _rejected(state: OrderState, event: RejectReturn) -> OrderState:
    return _with_return(state, replace(_chosen_return(state, event, R.REQUESTED), status=R.REJECTED))


def _labeled(state: OrderState, event: LabelReturn) -> OrderState:
    if not event.carrier or not event.tracking_number:
        place = "tracking_number" if event.carrier else "carrier"
        raise rejection(state, event, place, f"got no {place.replace('_', ' ')}", "A label needs both.")
    item = _chosen_return(state, event, R.APPROVED)
    return _with_return(state, replace(item, carrier=event.carrier, tracking_number=event.tracking_number))


def _received(state: OrderState, event: ReceiveReturn) -> OrderState:
    item = _chosen_return(state, event, R.APPROVED, R.RECEIVED)
    lines, back = dict(item.lines), dict(state.lines)
    for number, quantity in quantities(state, event):
        mine = lines.get(number, ReturnLine(requested=ZERO))
        what = f"of it is still expected with return {item.number}"
        received = increased(state, event, number, mine.received, quantity, mine.requested, what)
        lines[number] = replace(mine, received=received)
        back[number] = replace(back[number], returned=back[number].returned + quantity)
    return _with_return(replace(state, lines=back), replace(item, lines=lines, status=R.RECEIVED))


def _inspected(state: OrderState, event: InspectReturn) -> OrderState:
    """`lines` go back to stock, `written_off` do not; both are refunded or replaced."""
    item = _chosen_return(state, event, R.RECEIVED)
    if not event.lines and not event.written_off:
        raise rejection(state, event, "lines", "names no lines", "Give lines to restock, written_off, or both.")
    if event.lines and not event.warehouse:
        raise rejection(state, event, "warehouse", "got no warehouse", "Say where the goods are put.")
    lines, credited = dict(item.lines), dict(state.lines)
    for name, place, items in (
        ("restocked", "lines", event.lines),
        ("written_off", "written_off", event.written_off),
    ):
        for number, quantity in checked_quantities(state, event, place, items.items()):
            mine = lines.get(number, ReturnLine(requested=ZERO))
            increased(state, event, number, mine.inspected, quantity, mine.received, "came back and is not inspected")
            lines[number] = replace(mine, **{name: getattr(mine, name) + quantity})
            if item.resolution is Resolution.REFUND:
                line = credited[number]
                credited[number] = replace(line, credited=line.credited + quantity)
    done = all(line.inspected == line.requested for line in lines.values())
    item = replace(item, lines=lines, status=R.CLOSED if done else item.status)
    return _with_return(replace(state, lines=credited), item)


def _closed(state: OrderState, event: CloseReturn) -> OrderState:
    """Close the return: nothing more of it will arrive."""
    item = _chosen_return(state, event, R.APPROVED, R.RECEIVED)
    if any(line.inspected < line.received for line in item.lines.values()):
        what = f"has goods of return {item.number} that are not inspected"
        raise rejection(state, event, "return_number", what, "Inspect them first.", "return")
    return _with_return(state, replace(item, status=R.CLOSED))


def expected(state: OrderState, line: int) -> Decimal:
    """Return the quantity of a line that open returns have announced and that has not arrived."""
    waiting = (item.lines[line] for item in state.returns.values() if item.open and line in item.lines)
    return sum((mine.requested - mine.received for mine in waiting), ZERO)


def _chosen_return(state: OrderState, event: OpenReturnEvent, *among: ReturnStatus) -> Return:
    statuses = {number: item.status for number, item in state.returns.items()}
    return state.returns[choose_number(state, event, "return", event.return_number, statuses, set(among))]


def _with_return(state: OrderState, item: Return) -> OrderState:
    return replace(state, returns={**state.returns, item.number: item})
