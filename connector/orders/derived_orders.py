"""Orders that come from an order: the part that is split off, and what is sent again for what came back."""

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
from connector.model.shipments import ZERO, Resolution, Return
from connector.model.stage import Stage
from connector.store.engine import Connection
from connector.store.queries.order_search import list_numbers_with_prefix

FREE = Decimal(1)
"""The discount of what is sent again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivedOrder:
    """An order to be stored, and what happens to it at once."""

    item: OrderInput
    events: Sequence[Event]


async def free_number(connection: Connection, made: Sequence[DerivedOrder], order: Order, letter: str) -> str:
    """`10248-S1` for the first part that is split off, `10248-R1` for the first replacement; the first one that nobody
    has, neither in the database nor among those `made` in this very transaction."""
    begins = f"{order.number}-{letter}"
    taken = await list_numbers_with_prefix(connection, begins) | {other.item.number for other in made}
    return next(f"{begins}{index}" for index in range(1, len(taken) + 2) if f"{begins}{index}" not in taken)


def part(order: Order, before: OrderState, event: SplitOrder) -> DerivedOrder:
    """What is split off goes as far at once as the order it came from; freight stays there."""
    came = {
        Stage.PLACED: (),
        Stage.VERIFIED: (Action.VERIFY,),
    }.get(before.stage, (Action.VERIFY, Action.CONFIRM))
    note = f"Split from order {order.number}."
    events = [make_event(action, note=note, reference=order.number) for action in came]
    return DerivedOrder(item=_like(order, event, event.lines, order.header.placed_at, note), events=events)


def to_replace(item: Return) -> Mapping[int, Decimal]:
    """What of a return is sent again, by line."""
    if item.resolution is not Resolution.REPLACEMENT:
        return {}
    return {number: line.inspected for number, line in item.lines.items() if line.inspected > ZERO}


def replacement(
    order: Order, after: OrderState, number: int, event: InspectReturn | CloseReturn, now: datetime
) -> DerivedOrder:
    """The same goods for nothing. Somebody has looked at what came back: the rules need not look at this again."""
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
    known = {line.number: line for line in order.lines}
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
                sku=known[number].product.sku,
                quantity=quantity,
                unit_price=known[number].unit_price,
                discount=known[number].discount if discount is None else discount,
            )
            for number, quantity in sorted(quantities.items())
        ),
    )
