"""The state of an imported order: quantities, money and shipments that follow from its stage. PURE."""

from __future__ import annotations

from dataclasses import replace

from connector.model.copying import evolved
from connector.model.order import Order
from connector.model.order_state import LineState, OrderState
from connector.model.shipments import ZERO, Shipment, ShipmentStatus
from connector.model.stage import Stage

_GONE = frozenset({Stage.SHIPPED, Stage.DELIVERED, Stage.COMPLETED})


def as_imported(order: Order) -> Order:
    """Return `order` with the quantities, money and shipments that its stage implies. An order that has shipped gets
    one shipment with all of its lines."""
    stage = order.stage
    if stage is not Stage.CANCELED and stage not in _GONE:
        return order
    state = replace(order.state, lines={number: _implied(line, stage) for number, line in order.state.lines.items()})
    if stage in _GONE and state.lines:
        state = replace(state, shipments={1: _shipment(state)})
    if stage is Stage.COMPLETED:
        state = replace(state, invoiced=state.due, captured=state.due)
    lines = tuple(evolved(line, {"state": state.lines[line.number]}) for line in order.lines)
    return evolved(order, {"lines": lines, "state": state})


def _shipment(state: OrderState) -> Shipment:
    return Shipment(
        number=1,
        lines={number: line.shipped for number, line in state.lines.items()},
        status=ShipmentStatus.IN_TRANSIT if state.stage is Stage.SHIPPED else ShipmentStatus.DELIVERED,
        carrier=state.header.carrier,
        tracking_number=state.header.tracking_number,
        shipped_on=state.header.shipped_on,
    )


def _implied(line: LineState, stage: Stage) -> LineState:
    quantity = line.quantity
    if stage is Stage.CANCELED:
        return replace(line, canceled=quantity)
    delivered = ZERO if stage is Stage.SHIPPED else quantity
    return replace(line, allocated=quantity, picked=quantity, shipped=quantity, delivered=delivered)
