"""A product and its list prices. Becomes a Product2 with one entry of the standard price book per currency."""

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
    """A product; `sku` is the external ID of the Product2.

    In the org a product without a price cannot be on an order. A `placeholder` stands for an unknown product that an
    order refers to, until the product itself arrives.
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
