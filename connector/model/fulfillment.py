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


def dispatched(progress: OrderState, event: ShipmentEvent) -> OrderState:
    match event:
        case Pack():
            return _packed(progress, event)
        case Unpack():
            return _unpacked(progress, event)
        case Label():
            return _labeled(progress, event)
        case Ship():
            return _shipped(progress, event)
        case Track():
            return _tracked(progress, event)
        case Deliver():
            return _delivered(progress, event)
        case _:
            assert_never(event)


def _packed(progress: OrderState, event: Pack) -> OrderState:
    return _with(progress, _new(progress, event))


def _unpacked(progress: OrderState, event: Unpack) -> OrderState:
    return _with(progress, replace(_one(progress, event, IN_HOUSE), status=ShipmentStatus.VOID))


def _labeled(progress: OrderState, event: Label) -> OrderState:
    if not event.carrier or not event.tracking_number:
        place = "tracking_number" if event.carrier else "carrier"
        raise rejection(progress, event, place, f"got no {place.replace('_', ' ')}", "A label needs both.")
    parcel = _one(progress, event, IN_HOUSE)
    return _with(
        progress,
        replace(parcel, status=ShipmentStatus.LABELED, carrier=event.carrier, tracking_number=event.tracking_number),
    )


def _shipped(progress: OrderState, event: Ship) -> OrderState:
    """A packed shipment leaves; or, where `lines` are named, they are packed and leave at once."""
    if event.lines and event.shipment is not None:
        what = f"names lines and shipment {event.shipment}"
        raise rejection(progress, event, "shipment", what, "Name one of them: lines are packed as a new shipment.")
    parcel = _new(progress, event) if event.lines else _one(progress, event, IN_HOUSE)
    parcel = replace(
        parcel,
        status=ShipmentStatus.IN_TRANSIT,
        carrier=event.carrier or parcel.carrier,
        tracking_number=event.tracking_number or parcel.tracking_number,
        shipped_on=event.on,
    )
    lines = _raise(progress.lines, "shipped", parcel.lines)
    after = _with(replace(progress, lines=lines), parcel)
    if after.header.ship_complete:
        _check_complete(after, event)
    latest = max((item for item in after.shipments.values() if item.shipped_on), key=_number, default=parcel)
    return after.with_header(
        carrier=latest.carrier, tracking_number=latest.tracking_number, shipped_on=latest.shipped_on
    )


def _number(parcel: Shipment) -> int:
    return parcel.number


def _check_complete(progress: OrderState, event: Event) -> None:
    for number, line in progress.lines.items():
        missing = line.wanted - line.shipped - progress.packed(number)
        if missing > 0:
            what = f"is to leave complete, and {plain(missing)} of line {number} is not packed"
            hint = "Pack the rest first, cancel it, or change ship_complete."
            raise rejection(progress, event, "ship_complete", what, hint, "complete")


def is_news(parcel: Shipment, status: ShipmentStatus) -> bool:
    """Whether what a carrier says leads any further: it says things twice, and late. A problem comes and goes."""
    if status not in _COURSE:
        return True  # nothing that a carrier says; `track` refuses it
    if parcel.status is ShipmentStatus.EXCEPTION:
        return status is not ShipmentStatus.EXCEPTION
    return _COURSE[status] > _COURSE.get(parcel.status, 0)


def _tracked(progress: OrderState, event: Track) -> OrderState:
    """What the carrier says: still on its way, somehow, or there."""
    if event.status is ShipmentStatus.DELIVERED:
        return _delivered(progress, event)
    if event.status not in ON_THE_WAY:
        names = one_of(sorted([*ON_THE_WAY, ShipmentStatus.DELIVERED]))
        raise rejection(progress, event, "status", f"got the status {event.status}", f"A carrier says {names}.")
    return _with(progress, replace(_one(progress, event, ON_THE_WAY), status=event.status))


def _delivered(progress: OrderState, event: Track | Deliver) -> OrderState:
    parcel = _one(progress, event, ON_THE_WAY)
    lines = _raise(progress.lines, "delivered", parcel.lines)
    parcel = replace(parcel, status=ShipmentStatus.DELIVERED, delivered_on=event.on)
    return _with(replace(progress, lines=lines), parcel)


_COURSE: Mapping[ShipmentStatus, int] = {
    ShipmentStatus.IN_TRANSIT: 1,
    ShipmentStatus.OUT_FOR_DELIVERY: 2,
    ShipmentStatus.EXCEPTION: 3,
    ShipmentStatus.DELIVERED: 4,
}
"""What a carrier says, in the order in which it comes true."""


def _new(progress: OrderState, event: Pack | Ship) -> Shipment:
    lines = {}
    for number, quantity in quantities(progress, event):
        line = progress.lines[number]
        taken = line.shipped + progress.packed(number)
        raised(progress, event, number, taken, quantity, line.picked, "is picked and neither packed nor shipped")
        lines[number] = quantity
    return Shipment(
        number=len(progress.shipments) + 1,
        lines=lines,
        warehouse=event.warehouse,
        carrier=event.carrier,
        tracking_number=event.tracking_number,
    )


def _one(progress: OrderState, event: ShippingEvent, among: frozenset[ShipmentStatus]) -> Shipment:
    statuses = {number: parcel.status for number, parcel in progress.shipments.items()}
    return progress.shipments[chosen(progress, event, "shipment", event.shipment, statuses, among)]


def _with(progress: OrderState, parcel: Shipment) -> OrderState:
    return replace(progress, shipments={**progress.shipments, parcel.number: parcel})


def _raise(lines: Mapping[int, LineState], name: str, by: Mapping[int, Decimal]) -> Mapping[int, LineState]:
    return {
        number: replace(line, **{name: getattr(line, name) + by.get(number, ZERO)}) if number in by else line
        for number, line in lines.items()
    }
