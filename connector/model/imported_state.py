"""An order of which only the stage is known: what its quantities, money and shipments must be. PURE."""

from __future__ import annotations

from dataclasses import replace

from connector.model.order import Line, Order
from connector.model.shipments import ZERO, Shipment, ShipmentStatus
from connector.model.stage import Stage

_GONE = frozenset({Stage.SHIPPED, Stage.DELIVERED, Stage.COMPLETED})


def as_imported(order: Order) -> Order:
    """`order` with what its stage stands for: all of it in one shipment, once it has shipped."""
    stage = order.stage
    order = replace(order, lines=tuple(_implied(line, stage) for line in order.lines))
    if stage in _GONE and order.lines:
        order = replace(order, shipments={1: _shipment(order)})
    if stage is not Stage.COMPLETED:
        return order
    due = order.progress.due
    return replace(order, invoiced=due, captured=due)


def _shipment(order: Order) -> Shipment:
    return Shipment(
        number=1,
        lines={line.number: line.shipped for line in order.lines},
        status=ShipmentStatus.IN_TRANSIT if order.stage is Stage.SHIPPED else ShipmentStatus.DELIVERED,
        carrier=order.carrier,
        tracking_number=order.tracking_number,
        shipped_on=order.shipped_on,
    )


def _implied(line: Line, stage: Stage) -> Line:
    quantity = line.quantity
    if stage is Stage.CANCELED:
        return replace(line, canceled=quantity)
    if stage not in _GONE:
        return line
    delivered = ZERO if stage is Stage.SHIPPED else quantity
    return replace(line, allocated=quantity, picked=quantity, shipped=quantity, delivered=delivered)
