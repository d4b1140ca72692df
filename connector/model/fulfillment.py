"""Shipment events applied to an order: pack, unpack, label, ship, track, deliver. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from connector.model.events import Deliver, Event, Label, Pack, Ship, ShipmentEvent, Track, Unpack
from connector.model.money import plain
from connector.model.order_state import LineState, OrderState
from connector.model.rejections import choose_number, increased, one_of, quantities, rejection
from connector.model.shipments import IN_HOUSE, ON_THE_WAY, ZERO, Shipment, ShipmentStatus

ShippingEvent = Unpack | Label | Ship | Track | Deliver


def apply_shipment_event(state: OrderState, event: ShipmentEvent) -> OrderState:
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
    return _with_shipment(state, _new_shipment(state, event))


def _unpacked(state: OrderState, event: Unpack) -> OrderState:
    return _with_shipment(state, replace(_chosen_shipment(state, event, IN_HOUSE), status=ShipmentStatus.VOID))


def _labeled(state: OrderState, event: Label) -> OrderState:
    if not event.carrier or not event.tracking_number:
        place = "tracking_number" if event.carrier else "carrier"
        raise rejection(state, event, place, f"got no {place.replace('_', ' ')}", "A label needs both.")
    parcel = _chosen_shipment(state, event, IN_HOUSE)
    return _with_shipment(
        state,
        replace(parcel, status=ShipmentStatus.LABELED, carrier=event.carrier, tracking_number=event.tracking_number),
    )


def _shipped(state: OrderState, event: Ship) -> OrderState:
    """A packed shipment leaves; or, if the event names `lines`, they are packed and leave at once."""
    if event.lines and event.shipment is not None:
        what = f"names lines and shipment {event.shipment}"
        raise rejection(state, event, "shipment", what, "Name one of them: lines are packed as a new shipment.")
    parcel = _new_shipment(state, event) if event.lines else _chosen_shipment(state, event, IN_HOUSE)
    parcel = replace(
        parcel,
        status=ShipmentStatus.IN_TRANSIT,
        carrier=event.carrier or parcel.carrier,
        tracking_number=event.tracking_number or parcel.tracking_number,
        shipped_on=event.on,
    )
    lines = _raise(state.lines, "shipped", parcel.lines)
    after = _with_shipment(replace(state, lines=lines), parcel)
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
            what = f"must ship complete, and {plain(missing)} of line {number} is not packed"
            hint = "Pack the rest first, cancel it, or change ship_complete."
            raise rejection(state, event, "ship_complete", what, hint, "complete")


def is_news(parcel: Shipment, status: ShipmentStatus) -> bool:
    """Return whether a carrier's status is new for the shipment. Carriers repeat a status and send it late, so an
    earlier status is not; but any status ends an `exception`."""
    if status not in _COURSE:
        return True  # no status of a carrier; `track` rejects it
    if parcel.status is ShipmentStatus.EXCEPTION:
        return status is not ShipmentStatus.EXCEPTION
    return _COURSE[status] > _COURSE.get(parcel.status, 0)


def _tracked(state: OrderState, event: Track) -> OrderState:
    """The carrier reports that the shipment is on its way, or delivered."""
    if event.status is ShipmentStatus.DELIVERED:
        return _delivered(state, event)
    if event.status not in ON_THE_WAY:
        names = one_of(sorted([*ON_THE_WAY, ShipmentStatus.DELIVERED]))
        raise rejection(state, event, "status", f"got the status {event.status}", f"A carrier reports {names}.")
    return _with_shipment(state, replace(_chosen_shipment(state, event, ON_THE_WAY), status=event.status))


def _delivered(state: OrderState, event: Track | Deliver) -> OrderState:
    parcel = _chosen_shipment(state, event, ON_THE_WAY)
    lines = _raise(state.lines, "delivered", parcel.lines)
    parcel = replace(parcel, status=ShipmentStatus.DELIVERED, delivered_on=event.on)
    return _with_shipment(replace(state, lines=lines), parcel)


_COURSE: Mapping[ShipmentStatus, int] = {
    ShipmentStatus.IN_TRANSIT: 1,
    ShipmentStatus.OUT_FOR_DELIVERY: 2,
    ShipmentStatus.EXCEPTION: 3,
    ShipmentStatus.DELIVERED: 4,
}
"""The statuses that a carrier reports, with their rank: a shipment goes from a lower to a higher one."""


def _new_shipment(state: OrderState, event: Pack | Ship) -> Shipment:
    lines = {}
    for number, quantity in quantities(state, event):
        line = state.lines[number]
        packed_or_shipped = line.shipped + state.packed(number)
        increased(
            state, event, number, packed_or_shipped, quantity, line.picked, "is picked and neither packed nor shipped"
        )
        lines[number] = quantity
    return Shipment(
        number=len(state.shipments) + 1,
        lines=lines,
        warehouse=event.warehouse,
        carrier=event.carrier,
        tracking_number=event.tracking_number,
    )


def _chosen_shipment(state: OrderState, event: ShippingEvent, among: frozenset[ShipmentStatus]) -> Shipment:
    statuses = {number: parcel.status for number, parcel in state.shipments.items()}
    return state.shipments[choose_number(state, event, "shipment", event.shipment, statuses, among)]


def _with_shipment(state: OrderState, parcel: Shipment) -> OrderState:
    return replace(state, shipments={**state.shipments, parcel.number: parcel})


def _raise(lines: Mapping[int, LineState], name: str, by: Mapping[int, Decimal]) -> Mapping[int, LineState]:
    return {
        number: replace(line, **{name: getattr(line, name) + by.get(number, ZERO)}) if number in by else line
        for number, line in lines.items()
    }
