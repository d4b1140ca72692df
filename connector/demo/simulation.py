"""Simulates a shop for the demo and benchmarks: chooses the next events of each order, with the exceptions of real ones
(holds, partial shipments, canceled lines, returns).

An order number always leads to the same events. Nothing else in the connector uses this module.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.events import (
    ApproveReturn,
    Authorize,
    Cancel,
    Confirm,
    Deliver,
    Event,
    InspectReturn,
    Label,
    LabelReturn,
    Pack,
    Pick,
    ReceiveReturn,
    Refund,
    ReleaseHold,
    RequestReturn,
    Ship,
    Track,
)
from connector.model.order import Order
from connector.model.shipments import (
    IN_HOUSE,
    ON_THE_WAY,
    ZERO,
    Resolution,
    Return,
    ReturnReason,
    ReturnStatus,
    ShipmentStatus,
)
from connector.model.stage import Stage
from connector.orders.service import OrderService

ACTOR = "demo shop"
CARRIERS = ("Northern Parcel", "Harbor Freight Lines", "Swift Post")
WAREHOUSES = ("EAST", "SOUTH", "WEST")
PARTIAL_SHIPMENT_RATE, CANCELLATION_RATE, RETURN_RATE, REPLACEMENT_RATE = 0.2, 0.08, 0.15, 0.06
"""Probabilities that an order ships in parts, loses a line, is returned, or is replaced."""


async def advance(service: OrderService, orders: Sequence[Order], *, release: bool = True) -> list[Order]:
    """Advance each of these orders by one step, those on hold only if `release`, and return them."""
    numbers = [order.number for order in orders if release or not order.state.holds]
    current = {order.number: order for order in orders}
    for order in await service.work_on(numbers, next_events, actor=ACTOR):
        current[order.number] = order
    return list(current.values())


def is_done(order: Order) -> bool:
    """Whether the order has no next events."""
    return order.stage in {Stage.COMPLETED, Stage.CANCELED} and not next_events(order)


def next_events(order: Order) -> Sequence[Event]:
    """Return the events that the shop executes next on an order."""
    if order.state.holds:
        return [ReleaseHold(hold=hold, note="checked by phone") for hold in sorted(order.state.holds)]
    match order.stage:
        case Stage.VERIFIED:
            state = order.state
            due = [Authorize(amount=state.due)] if state.due > state.authorized else []
            return [*due, Confirm()]
        case Stage.CONFIRMED | Stage.FULFILLING:
            return _warehouse_events(order)
        case Stage.SHIPPED:
            return _delivery_events(order)
        case Stage.DELIVERED:
            return _payment_events(order)
        case Stage.COMPLETED:
            return _return_events(order)
    return []


def _chance(order: Order, what: str) -> float:
    return random.Random(f"{order.number}:{what}").random()  # noqa: S311 - variety, not secrecy


def _label(order: Order, parcels_before: int | None = None) -> dict[str, Any]:
    before = len(order.state.shipments) if parcels_before is None else parcels_before
    chance = random.Random(f"{order.number}:{before}")  # noqa: S311
    return {
        "carrier": chance.choice(CARRIERS),
        "tracking_number": f"TRK{chance.randint(10**9, 10**10 - 1)}",
    }


def _warehouse_events(order: Order) -> Sequence[Event]:
    if packed := [number for number, parcel in order.state.shipments.items() if parcel.status in IN_HOUSE]:
        return [event for number in packed for event in _ship_events(number, _label(order, number - 1))]
    picked = {
        line.number: line.state.picked - line.state.shipped
        for line in order.lines
        if line.state.picked > line.state.shipped
    }
    if picked and not (
        order.header.ship_complete
        and any(line.state.picked + line.state.canceled < line.quantity for line in order.lines)
    ):
        parcel = len(order.state.shipments) + 1
        # Goods of several warehouses are several parcels: the others leave with the next step.
        return [Pack(lines=picked), *_ship_events(parcel, _label(order))]
    to_pick = {
        line.number: line.state.allocated - line.state.picked
        for line in order.lines
        if line.state.allocated > line.state.picked
    }
    if to_pick:
        in_parts = len(to_pick) > 1 and not order.state.shipments and not order.header.ship_complete
        if in_parts and _chance(order, "parts") < PARTIAL_SHIPMENT_RATE:
            to_pick = dict(list(to_pick.items())[:1])
        cancellations = _cancel_events(order)
        lines_to_pick = {
            number: quantity
            for number, quantity in to_pick.items()
            if not any(number in event.lines for event in cancellations)
        }
        return [*cancellations, Pick(lines=lines_to_pick)] if lines_to_pick else cancellations
    return _delivery_events(order)


def _ship_events(parcel: int, label: Mapping[str, Any]) -> Sequence[Event]:
    return [Label(shipment=parcel, **label), Ship(shipment=parcel)]


def _cancel_events(order: Order) -> Sequence[Cancel]:
    last = order.lines[-1]
    if len(order.lines) == 1 or last.state.canceled or last.state.picked or _chance(order, "cut") >= CANCELLATION_RATE:
        return []
    return [Cancel(lines={last.number: last.quantity}, note="no longer wanted")]


def _delivery_events(order: Order) -> Sequence[Event]:
    in_transit = [parcel for parcel in order.state.shipments.values() if parcel.status in ON_THE_WAY]
    if not in_transit:
        return []
    parcel = in_transit[0]
    if parcel.status is ShipmentStatus.IN_TRANSIT:
        return [Track(shipment=parcel.number, status=ShipmentStatus.OUT_FOR_DELIVERY)]
    return [Deliver(shipment=parcel.number)]


def _payment_events(order: Order) -> Sequence[Event]:
    state = order.state
    open_amounts = (
        (Action.INVOICE, state.due - state.invoiced),
        (Action.CAPTURE, state.due - state.net),
    )
    return [make_event(action, amount=amount) for action, amount in open_amounts if amount > 0]


def _return_events(order: Order) -> Sequence[Event]:
    order_return = order.state.returns.get(max(order.state.returns, default=0))
    if order_return is not None:
        return _process_return(order, order_return)
    chance = _chance(order, "return")
    if chance >= RETURN_RATE or order.number.count("-R"):
        return []
    first = order.lines[0]
    return (
        [
            RequestReturn(
                lines={first.number: max(first.state.delivered // 2, Decimal(1))} if first.state.delivered >= 1 else {},
                reason=ReturnReason.DAMAGED if chance < RETURN_RATE / 2 else ReturnReason.NOT_AS_EXPECTED,
                resolution=Resolution.REPLACEMENT if chance < REPLACEMENT_RATE else Resolution.REFUND,
            )
        ]
        if first.state.delivered >= 1
        else []
    )


def _process_return(order: Order, order_return: Return) -> Sequence[Event]:
    number = order_return.number
    to_receive = {
        line: item.requested - item.received
        for line, item in order_return.lines.items()
        if item.requested > item.received
    }
    to_inspect = {
        line: item.received - item.inspected
        for line, item in order_return.lines.items()
        if item.received > item.inspected
    }
    match order_return.status:
        case ReturnStatus.REQUESTED:
            return [
                ApproveReturn(return_number=number),
                LabelReturn(return_number=number, **_label(order)),
            ]
        case ReturnStatus.APPROVED:
            return [ReceiveReturn(return_number=number, lines=to_receive)]
        case ReturnStatus.RECEIVED if to_inspect:
            damaged = order_return.reason is ReturnReason.DAMAGED
            to_restock: Mapping[int, Decimal] = {} if damaged else to_inspect
            return [
                InspectReturn(return_number=number, lines=to_restock, warehouse=WAREHOUSES[0],
                      written_off=to_inspect if damaged else {})
            ]  # fmt: skip
    refundable = order.state.net - order.state.due
    return [Refund(amount=refundable)] if refundable > ZERO else []
