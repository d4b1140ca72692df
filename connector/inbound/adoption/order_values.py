"""Reads values of records of the org as those of new entities here. PURE."""

from __future__ import annotations

from collections.abc import Callable, Set
from decimal import Decimal
from typing import Any

from connector.inbound.adoption.obstacle import ObstacleError
from connector.inbound.adoption.remote_order import Row
from connector.mapping.backward import UnreadableValueError, compile_backward
from connector.mapping.receiver import RecordReceiver
from connector.model.money import CENTS, EXACT, places_of, plain, to_cents
from connector.model.order_header import HEADER_FIELDS, OF_SHIPMENT

_SET_BY_US = frozenset({"number", "placed_at", "currency", "channel"}) | OF_SHIPMENT
_DISCOUNT_DIGITS = Decimal("0.0001")


def read_header(receiver: RecordReceiver, row: Row) -> dict[str, Any]:
    """Header fields of a new order, by name. Raises UnreadableValueError, which names the field."""
    return read_values(receiver, row, HEADER_FIELDS.keys() - _SET_BY_US)


def read_values(receiver: RecordReceiver, row: Row, attributes: Set[str]) -> dict[str, Any]:
    """The values of these attributes of a new entity: of every mapped field that has a way back, whoever owns it from
    now on. Raises UnreadableValueError, which names the field."""
    values: dict[str, Any] = {}
    for name, (attribute, read) in _readers(receiver, attributes).items():
        try:
            value = read(row.get(name))
        except UnreadableValueError as error:
            raise UnreadableValueError(f"{receiver.sobject}.{name}: {error}", error.fix) from error
        if value is not None:
            values[attribute] = value
    return values


def _readers(receiver: RecordReceiver, attributes: Set[str]) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """The attribute and the way back of each field that sets one of `attributes`."""
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {}
    for name, spec in receiver.fields.items():
        path = spec.path
        if path is None or path.text not in attributes:
            continue
        if name in receiver.received:
            readers[name] = path.text, receiver.received[name].read
        elif spec.values is None and all(transform.backward is not None for transform in spec.transforms):
            readers[name] = path.text, compile_backward(spec)
    return readers


def price_of_line(row: Row, label: str, currency: str) -> tuple[Decimal, Decimal]:
    """The unit price and the discount of a line. What the rep took off the list price is the discount, if that gives
    exactly the price of the line; else the price of the line is the unit price."""
    if row.get("UnitPrice") is None:
        raise ObstacleError(f"{label} has no unit price.", "Give it one in Salesforce.")
    price = Decimal(str(row["UnitPrice"]))
    places = min(places_of(currency), CENTS)
    if price < 0 or to_cents(price, places) != price:
        raise ObstacleError(
            f"{label}: the unit price {plain(price)} must be at least 0 and have at most {places} decimals.",
            "Correct it in Salesforce.",
        )
    listed = Decimal(str(row.get("ListPrice") or 0))
    if price < listed:
        discount = (EXACT.subtract(Decimal(1), EXACT.divide(price, listed))).quantize(_DISCOUNT_DIGITS)
        if EXACT.multiply(listed, EXACT.subtract(Decimal(1), discount)) == price:
            return listed, discount
    return price, Decimal(0)
