"""Generates plausible orders from customers and products, for the demo and benchmarks.

A seed always gives the same orders. Nothing else in the connector uses this module.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from connector.model.customer import Customer
from connector.model.order import LineInput, OrderInput
from connector.model.order_header import OrderHeader
from connector.model.product import Product

EPOCH = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
CHANNELS = ("web", "phone", "marketplace", "in person")
SERVICE_LEVELS = ("standard", "standard", "standard", "express", "same_day")
NO_STREET = 0.06
SHIP_COMPLETE = 0.15
DELIVERY_NOTES = (None, None, None, "Ring twice.", "Loading bay at the back.")
DISCOUNTS = (Decimal(0), Decimal(0), Decimal(0), Decimal("0.05"), Decimal("0.15"))


def orders(
    customers: Sequence[Customer],
    products: Sequence[Product],
    *,
    count: int,
    first: int = 1,
    seed: int = 7,
    today: datetime | None = None,
) -> Iterator[OrderInput]:
    """`count` placed orders of one to six lines, numbered from `SO-000001`, an hour apart; with `today` all of them
    are placed then. A few have no street."""
    for number in range(first, first + count):
        chance = random.Random(f"{seed}:{number}")  # noqa: S311 - variety, not secrecy
        customer = chance.choice(customers)
        placed_at = EPOCH + timedelta(hours=number) if today is None else today
        chosen = chance.sample(products, k=min(len(products), chance.randint(1, 6)))
        lines = tuple(_line(chance, index, product) for index, product in enumerate(chosen, start=1))
        header = OrderHeader(
            number=f"SO-{number:06d}",
            placed_at=placed_at,
            currency="USD",
            channel=chance.choice(CHANNELS),
            service_level=chance.choice(SERVICE_LEVELS),
            po_number=f"PO-{chance.randint(1000, 9999)}" if chance.random() < 0.5 else None,
            promised_on=(placed_at + timedelta(days=chance.randint(3, 14))).date(),
            freight=Decimal(chance.randint(0, 4000)) / 100,
            ship_complete=chance.random() < SHIP_COMPLETE,
            delivery_note=chance.choice(DELIVERY_NOTES),
            ship_to_name=customer.name,
            ship_to_street=None if chance.random() < NO_STREET else customer.street,
            ship_to_city=customer.city,
            ship_to_state=customer.state,
            ship_to_postal_code=customer.postal_code,
            ship_to_country=customer.country,
        )
        yield OrderInput(header=header, customer=customer.number, lines=lines)


def _line(chance: random.Random, number: int, product: Product) -> LineInput:
    price = product.prices[0].unit_price if product.prices else None
    return LineInput(
        number=number,
        sku=product.sku,
        quantity=Decimal(chance.randint(1, 40)),
        unit_price=price,
        discount=chance.choice(DISCOUNTS),
    )
