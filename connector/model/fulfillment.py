"""What an event does to the shipments of an order: packed, labeled, handed over, followed, delivered. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from connector.model.events import Deliver, Event, Label, Pack, Ship, ShipmentEvent, Track, Unpack
from connector.model.money import plain
from connector.model.order_state import LineState, OrderState
from connector.model.rejections import chosen, one_of, quantities, raised, rejection
from connector.model.shipments import IN_HOUSE, ON_THE_WAY, ZERO, Shipment, ShipmentStatus

ShippingEvent = Unpack | Label | Ship | Track | Deliver


def dispatched(state: OrderState, event: ShipmentEvent) -> OrderState:
    match event:
        case Pack():
            return _packed(state, event)
        case Unpack():
            return _unpacked(state, event)
        case Label():
            return _labeled(state, event)
        case Ship():
            return _shipped(state, event)
        case Track():
            return _tracked(state, event)
        case Deliver():
            return _delivered(state, event)
        case _:
            assert_never(event)


def _packed(state: OrderState, event: Pack) -> OrderState:
    return _with(state, _new(state, event))


def _unpacked(state: OrderState, event: Unpack) -> OrderState:
    return _with(state, replace(_one(state, event, IN_HOUSE), status=ShipmentStatus.VOID))


def _labeled(state: OrderState, event: Label) -> OrderState:
    if not event.carrier or not event.tracking_number:
        place = "tracking_number" if event.carrier else "carrier"
        raise rejection(state, event, place, f"got no {place.replace('_', ' ')}", "A label needs both.")
    parcel = _one(state, event, IN_HOUSE)
    return _with(
        state,
        replace(parcel, status=ShipmentStatus.LABELED, carrier=event.carrier, tracking_number=event.tracking_number),
    )


def _shipped(state: OrderState, event: Ship) -> OrderState:
    """A packed shipment leaves; or, where `lines` are named, they are packed and leave at once."""
    if event.lines and event.shipment is not None:
        what = f"names lines and shipment {event.shipment}"
        raise rejection(state, event, "shipment", what, "Name one of them: lines are packed as a new shipment.")
    parcel = _new(state, event) if event.lines else _one(state, event, IN_HOUSE)
    parcel = replace(
        parcel,
        status=ShipmentStatus.IN_TRANSIT,
        carrier=event.carrier or parcel.carrier,
        tracking_number=event.tracking_number or parcel.tracking_number,
        shipped_on=event.on,
    )
    lines = _raise(state.lines, "shipped", parcel.lines)
    after = _with(replace(state, lines=lines), parcel)
    if after.header.ship_complete:
        _check_complete(after, event)
    latest = max((item for item in after.shipments.values() if item.shipped_on), key=_number, default=parcel)
    return after.with_header(
        carrier=latest.carrier, tracking_number=latest.tracking_number, shipped_on=latest.shipped_on
    )


def _number(parcel: Shipment) -> int:
    return parcel.number


def _check_complete(state: OrderState, event: Event) -> None:
    for number, line in state.lines.items():
        missing = line.wanted - line.shipped - state.packed(number)
        if missing > 0:
            what = f"is to leave complete, and {plain(missing)} of line {number} is not packed"
            hint = "Pack the rest first, cancel it, or change ship_complete."
            raise rejection(state, event, "ship_complete", what, hint, "complete")


def is_news(parcel: Shipment, status: ShipmentStatus) -> bool:
    """Whether what a carrier says leads any further: it says things twice, and late. A problem comes and goes."""
    if status not in _COURSE:
        return True  # nothing that a carrier says; `track` refuses it
    if parcel.status is ShipmentStatus.EXCEPTION:
        return status is not ShipmentStatus.EXCEPTION
    return _COURSE[status] > _COURSE.get(parcel.status, 0)


def _tracked(state: OrderState, event: Track) -> OrderState:
    """What the carrier says: still on its way, somehow, or there."""
    if event.status is ShipmentStatus.DELIVERED:
        return _delivered(state, event)
    if event.status not in ON_THE_WAY:
        names = one_of(sorted([*ON_THE_WAY, ShipmentStatus.DELIVERED]))
        raise rejection(state, event, "status", f"got the status {event.status}", f"A carrier says {names}.")
    return _with(state, replace(_one(state, event, ON_THE_WAY), status=event.status))


def _delivered(state: OrderState, event: Track | Deliver) -> OrderState:
    parcel = _one(state, event, ON_THE_WAY)
    lines = _raise(state.lines, "delivered", parcel.lines)
    parcel = replace(parcel, status=ShipmentStatus.DELIVERED, delivered_on=event.on)
    return _with(replace(state, lines=lines), parcel)


_COURSE: Mapping[ShipmentStatus, int] = {
    ShipmentStatus.IN_TRANSIT: 1,
    ShipmentStatus.OUT_FOR_DELIVERY: 2,
    ShipmentStatus.EXCEPTION: 3,
    ShipmentStatus.DELIVERED: 4,
}
"""What a carrier says, in the order in which it comes true."""


def _new(state: OrderState, event: Pack | Ship) -> Shipment:
    lines = {}
    for number, quantity in quantities(state, event):
        line = state.lines[number]
        taken = line.shipped + state.packed(number)
        raised(state, event, number, taken, quantity, line.picked, "is picked and neither packed nor shipped")
        lines[number] = quantity
    return Shipment(
        number=len(state.shipments) + 1,
        lines=lines,
        warehouse=event.warehouse,
        carrier=event.carrier,
        tracking_number=event.tracking_number,
    )


def _one(state: OrderState, event: ShippingEvent, among: frozenset[ShipmentStatus]) -> Shipment:
    statuses = {number: parcel.status for number, parcel in state.shipments.items()}
    return state.shipments[chosen(state, event, "shipment", event.shipment, statuses, among)]


def _with(state: OrderState, parcel: Shipment) -> OrderState:
    return replace(state, shipments={**state.shipments, parcel.number: parcel})


def _raise(lines: Mapping[int, LineState], name: str, by: Mapping[int, Decimal]) -> Mapping[int, LineState]:
    return {
        number: replace(line, **{name: getattr(line, name) + by.get(number, ZERO)}) if number in by else line
        for number, line in lines.items()
    }
