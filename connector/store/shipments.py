"""Saves and loads the shipments and returns of orders, and finds shipments by tracking number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.money import plain
from connector.model.order_state import OrderState
from connector.model.shipments import (
    ON_THE_WAY,
    Resolution,
    Return,
    ReturnLine,
    ReturnReason,
    ReturnStatus,
    Shipment,
    ShipmentStatus,
)
from connector.store.sql import Row, select_in, upsert
from connector.store.tables import returns, shipments
from connector.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedShipment:
    """A shipment found by its tracking number."""

    order: str
    number: int
    status: ShipmentStatus
    carrier: str | None


_RETURN_LINE = ("requested", "received", "restocked", "written_off")


_SHIPMENTS, _RETURNS = select(shipments), select(returns)


async def load(
    connection: AsyncConnection, numbers: Sequence[str]
) -> tuple[dict[str, dict[int, Shipment]], dict[str, dict[int, Return]]]:
    """Return the shipments and the returns of these orders, by order and number."""
    sent: dict[str, dict[int, Shipment]] = {}
    back: dict[str, dict[int, Return]] = {}
    for row in await select_in(connection, _SHIPMENTS, shipments.c.order_number, numbers):
        sent.setdefault(row.order_number, {})[row.number] = Shipment(
            lines=_quantities(orjson.loads(row.lines)),
            status=ShipmentStatus(row.status),
            **{name: getattr(row, name) for name in _SHIPMENT},
        )
    for row in await select_in(connection, _RETURNS, returns.c.order_number, numbers):
        back.setdefault(row.order_number, {})[row.number] = return_of(
            {name: getattr(row, name) for name in _RETURN}, orjson.loads(row.lines)
        )
    return sent, back


async def save(uow: UnitOfWork, changes: Sequence[tuple[OrderState, OrderState, bool]]) -> None:
    """Write the shipments and returns that differ between the states of each order; `changes` holds (before, after,
    unstored). If `unstored`, all shipments are written."""
    sent: list[Row] = []
    back: list[Row] = []
    for before, after, unstored in changes:
        for number, parcel in after.shipments.items():
            if unstored or before.shipments.get(number) != parcel:
                sent.append({"order_number": after.number, **_shipment_row(parcel)})
        for number, item in after.returns.items():
            if before.returns.get(number) != item:
                back.append({"order_number": after.number, **_return_row(item)})
    await upsert(uow.connection, shipments, sent)
    await upsert(uow.connection, returns, back)


async def find(connection: AsyncConnection, tracking_number: str) -> list[TrackedShipment]:
    """Return the shipments with this tracking number that are on their way or delivered."""
    row = shipments.c
    statement = (
        select(row.order_number, row.number, row.status, row.carrier)
        .where(row.tracking_number == tracking_number)
        .where(row.status.in_([status.value for status in (*ON_THE_WAY, ShipmentStatus.DELIVERED)]))
        .order_by(row.order_number, row.number)
    )
    return [
        TrackedShipment(
            order=row.order_number, number=row.number, status=ShipmentStatus(row.status), carrier=row.carrier
        )
        for row in await connection.execute(statement)
    ]


def serialize_shipment(parcel: Shipment) -> dict[str, Any]:
    """Return a shipment as plain values, without empty fields."""
    row = _shipment_row(parcel) | {"lines": _plain(parcel.lines)}
    return {name: value for name, value in row.items() if value is not None}


def serialize_return(item: Return) -> dict[str, Any]:
    row = _return_row(item) | {"lines": _lines(item)}
    return {name: value for name, value in row.items() if value is not None}


def return_of(values: Mapping[str, Any], lines: Mapping[str, Mapping[str, str]]) -> Return:
    return Return(
        **{name: values.get(name) for name in ("number", "carrier", "tracking_number", "requested_on")},  # type: ignore[arg-type]
        status=ReturnStatus(values["status"]),
        reason=ReturnReason(values["reason"]),
        resolution=Resolution(values["resolution"]),
        lines={
            int(line): ReturnLine(**{name: Decimal(quantity) for name, quantity in quantities.items()})
            for line, quantities in lines.items()
        },
    )


_SHIPMENT = ("number", "warehouse", "carrier", "tracking_number", "shipped_on", "delivered_on")
_RETURN = ("number", "status", "reason", "resolution", "carrier", "tracking_number", "requested_on")


def _shipment_row(parcel: Shipment) -> Row:
    row = {name: getattr(parcel, name) for name in _SHIPMENT}
    return row | {"status": parcel.status.value, "lines": orjson.dumps(_plain(parcel.lines)).decode()}


def _return_row(item: Return) -> Row:
    row = {name: getattr(item, name) for name in ("number", "carrier", "tracking_number", "requested_on")}
    row |= {name: getattr(item, name).value for name in ("status", "reason", "resolution")}
    return row | {"lines": orjson.dumps(_lines(item)).decode()}


def _lines(item: Return) -> dict[str, dict[str, str]]:
    return {
        str(number): {name: plain(getattr(line, name)) for name in _RETURN_LINE} for number, line in item.lines.items()
    }


def _plain(quantities: Mapping[int, Decimal]) -> dict[str, str]:
    return {str(number): plain(quantity) for number, quantity in quantities.items()}


def _quantities(lines: Mapping[str, str]) -> dict[int, Decimal]:
    return {int(number): Decimal(quantity) for number, quantity in lines.items()}
