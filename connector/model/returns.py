"""What an event does to the returns of an order: asked for, approved, back, inspected, closed. PURE."""

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
from connector.model.rejections import checked, chosen, quantities, raised, rejection
from connector.model.shipments import ZERO, Resolution, Return, ReturnLine, ReturnReason, ReturnStatus

R = ReturnStatus
OpenReturnEvent = ApproveReturn | RejectReturn | LabelReturn | ReceiveReturn | InspectReturn | CloseReturn


def returned(progress: OrderState, event: ReturnEvent) -> OrderState:
    match event:
        case RequestReturn():
            return _requested(progress, event)
        case ApproveReturn():
            return _approved(progress, event)
        case RejectReturn():
            return _rejected(progress, event)
        case LabelReturn():
            return _labeled(progress, event)
        case ReceiveReturn():
            return _received(progress, event)
        case InspectReturn():
            return _inspected(progress, event)
        case CloseReturn():
            return _closed(progress, event)
        case _:
            assert_never(event)


def _requested(progress: OrderState, event: RequestReturn) -> OrderState:
    lines = {}
    for number, quantity in quantities(progress, event):
        line = progress.lines[number]
        what = "was delivered and is not on its way back"
        raised(progress, event, number, line.returned + _coming(progress, number), quantity, line.delivered, what)
        lines[number] = ReturnLine(requested=quantity)
    return _with(
        progress,
        Return(
            number=len(progress.returns) + 1,
            lines=lines,
            reason=event.reason or ReturnReason.OTHER,
            resolution=event.resolution or Resolution.REFUND,
            requested_on=event.on,
        ),
    )


def _approved(progress: OrderState, event: ApproveReturn) -> OrderState:
    return _with(progress, replace(_one(progress, event, R.REQUESTED), status=R.APPROVED))


def _rejected(progress: OrderState, event: RejectReturn) -> OrderState:
    return _with(progress, replace(_one(progress, event, R.REQUESTED), status=R.REJECTED))


def _labeled(progress: OrderState, event: LabelReturn) -> OrderState:
    if not event.carrier or not event.tracking_number:
        place = "tracking_number" if event.carrier else "carrier"
        raise rejection(progress, event, place, f"got no {place.replace('_', ' ')}", "A label needs both.")
    item = _one(progress, event, R.APPROVED)
    return _with(progress, replace(item, carrier=event.carrier, tracking_number=event.tracking_number))


def _received(progress: OrderState, event: ReceiveReturn) -> OrderState:
    item = _one(progress, event, R.APPROVED, R.RECEIVED)
    lines, back = dict(item.lines), dict(progress.lines)
    for number, quantity in quantities(progress, event):
        mine = lines.get(number, ReturnLine(requested=ZERO))
        what = f"of it is still to come with return {item.number}"
        received = raised(progress, event, number, mine.received, quantity, mine.requested, what)
        lines[number] = replace(mine, received=received)
        back[number] = replace(back[number], returned=back[number].returned + quantity)
    return _with(replace(progress, lines=back), replace(item, lines=lines, status=R.RECEIVED))


def _inspected(progress: OrderState, event: InspectReturn) -> OrderState:
    """`lines` are good enough for the shelf, `written_off` is not; both are paid back or replaced."""
    item = _one(progress, event, R.RECEIVED)
    if not event.lines and not event.written_off:
        raise rejection(
            progress, event, "lines", "names no lines", "Say what goes to the shelf and what is written off."
        )
    if event.lines and not event.warehouse:
        raise rejection(progress, event, "warehouse", "got no warehouse", "Say where the goods are put.")
    lines, credited = dict(item.lines), dict(progress.lines)
    for name, place, items in (
        ("restocked", "lines", event.lines),
        ("written_off", "written_off", event.written_off),
    ):
        for number, quantity in checked(progress, event, place, items.items()):
            mine = lines.get(number, ReturnLine(requested=ZERO))
            raised(progress, event, number, mine.inspected, quantity, mine.received, "came back and is not inspected")
            lines[number] = replace(mine, **{name: getattr(mine, name) + quantity})
            if item.resolution is Resolution.REFUND:
                line = credited[number]
                credited[number] = replace(line, credited=line.credited + quantity)
    done = all(line.inspected == line.requested for line in lines.values())
    item = replace(item, lines=lines, status=R.CLOSED if done else item.status)
    return _with(replace(progress, lines=credited), item)


def _closed(progress: OrderState, event: CloseReturn) -> OrderState:
    """Nothing more of it will come."""
    item = _one(progress, event, R.APPROVED, R.RECEIVED)
    if any(line.inspected < line.received for line in item.lines.values()):
        what = f"has goods of return {item.number} that are not inspected"
        raise rejection(progress, event, "return_number", what, "Inspect them first.", "return")
    return _with(progress, replace(item, status=R.CLOSED))


def _coming(progress: OrderState, line: int) -> Decimal:
    """What of a line is to come with returns that are under way."""
    waiting = (item.lines[line] for item in progress.returns.values() if item.open and line in item.lines)
    return sum((mine.requested - mine.received for mine in waiting), ZERO)


def _one(progress: OrderState, event: OpenReturnEvent, *among: ReturnStatus) -> Return:
    statuses = {number: item.status for number, item in progress.returns.items()}
    return progress.returns[chosen(progress, event, "return", event.return_number, statuses, set(among))]


def _with(progress: OrderState, item: Return) -> OrderState:
    return replace(progress, returns={**progress.returns, item.number: item})
