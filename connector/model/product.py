"""A product and its list prices. Becomes a Product2 with one standard price book entry per currency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """The list price of one product in one currency (ISO 4217 code)."""

    currency: str
    unit_price: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """`sku` is the Product2's external ID. Without a price the product exists but cannot be put on an order.

    A `placeholder` stands for what an order named and nobody here knows, until the product itself arrives.
    """

    sku: str
    name: str
    description: str | None = None
    active: bool = True
    prices: tuple[Price, ...] = ()
    placeholder: bool = False

    @property
    def key(self) -> str:
        return self.sku
