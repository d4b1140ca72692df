"""Orders derived from another order: the part that is split off, and the replacement for returned goods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.events import CloseReturn, Event, InspectReturn, SplitOrder, Verify
from connector.model.order import LineInput, Order, OrderInput
from connector.model.order_header import INHERITED, OrderHeader
from connector.model.order_state import OrderState
from connector.model.shipments import ZERO, Resolution, Return, ReturnStatus
from connector.model.stage import Stage
from connector.store.engine import Connection
from connector.store.queries.order_search import list_numbers_with_prefix

FREE = Decimal(1)
"""The discount on every line of a replacement order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivedOrder:
    """An order to be stored, and the events that are applied to it at once."""

    item: OrderInput
    events: Sequence[Event]


async def find_free_number(connection: Connection, derived: Sequence[DerivedOrder], order: Order, mark: str) -> str:
    """Return the first number that is free, in the database and among `derived`, the new orders of this transaction:
    `10248-S1` for the first part that is split off, `10248-R1` for the first replacement."""
    begins = f"{order.number}-{mark}"
    used = await list_numbers_with_prefix(connection, begins) | {other.item.number for other in derived}
    return next(f"{begins}{index}" for index in range(1, len(used) + 2) if f"{begins}{index}" not in used)


def split_part(order: Order, before: OrderState, event: SplitOrder) -> DerivedOrder:
    """Return the order that is split off. It is brought to the stage of the order it comes from, `confirmed` at most;
    the freight stays with that order."""
    came = {
        Stage.PLACED: (),
        Stage.VERIFIED: (Action.VERIFY,),
    }.get(before.stage, (Action.VERIFY, Action.CONFIRM))
    note = f"Split from order {order.number}."
    events = [make_event(action, note=note, reference=order.number) for action in came]
    return DerivedOrder(item=_like(order, event, event.lines, order.header.placed_at, note), events=events)


def to_replace(item: Return) -> Mapping[int, Decimal]:
    """Return the quantities of a return that are replaced, by line; empty if it is refunded."""
    if item.resolution is not Resolution.REPLACEMENT:
        return {}
    return {number: line.inspected for number, line in item.lines.items() if line.inspected > ZERO}


def replacement(
    order: Order, after: OrderState, number: int, event: InspectReturn | CloseReturn, now: datetime
) -> DerivedOrder:
    """Return an order over the same goods, free of charge. It is created as verified: a person has inspected the
    return, so the verification rules are not applied."""
    note = f"Replaces what came back of order {order.number}."
    item = _like(order, event, to_replace(after.returns[number]), now, note, discount=FREE)
    return DerivedOrder(item=item, events=[Verify(note=note, reference=order.number)])


def _like(
    order: Order,
    event: SplitOrder | InspectReturn | CloseReturn,
    quantities: Mapping[int, Decimal],
    placed_at: datetime,
    note: str,
    discount: Decimal | None = None,
) -> OrderInput:
    line_of = {line.number: line for line in order.lines}
    inherited = {name: getattr(order.header, name) for name in INHERITED}
    header = OrderHeader(
        **inherited,
        number=event.reference or "",
        placed_at=placed_at,
        notes=order.header.notes or event.note or note,
    )
    return OrderInput(
        header=header,
        customer=order.customer.number,
        lines=tuple(
            LineInput(
                number=number,
                sku=line_of[number].product.sku,
                quantity=quantity,
                unit_price=line_of[number].unit_price,
                discount=line_of[number].discount if discount is None else discount,
            )
            for number, quantity in sorted(quantities.items())
        ),
    )


def return_to_replace(before: OrderState, after: OrderState) -> int | None:
    """Return the number of the return that is closed now and asks for a replacement."""
    for number, item in after.returns.items():
        if item.status is ReturnStatus.CLOSED and before.returns[number].status is not ReturnStatus.CLOSED:
            return number if to_replace(item) else None
    return None
