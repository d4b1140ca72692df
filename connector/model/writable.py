"""Which attributes of an entity a change in the org may set. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.order_header import CHANGEABLE
from connector.model.product import Product

_IDENTITY = {Customer: "number", Product: "sku"}
_DERIVED = {"prices", "placeholder"}

WRITABLE: Mapping[type, frozenset[str]] = {
    Customer: frozenset(field.name for field in fields(Customer)) - {_IDENTITY[Customer]},
    Product: frozenset(field.name for field in fields(Product)) - {_IDENTITY[Product]} - _DERIVED,
    Order: frozenset(CHANGEABLE),
}
"""By model. An entity's key never changes; what happens to an order (its stage, quantities, payments) is asked of it by
a command, and not set."""


def is_writable(model: type, attribute: str) -> bool:
    """Whether a change in the org may set `attribute` of a `model`."""
    return attribute in WRITABLE.get(model, frozenset())
