"""Sample customers, products and orders, and short helpers to store them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import Change, EntityKind
from connector.model.customer import Customer
from connector.model.order import LineInput, OrderInput
from connector.model.product import Price, Product
from connector.model.stage import Stage
from connector.orders.placement import Placement
from connector.store import customers, orders, outbox, products
from connector.store.engine import Store
from tests.order_builders import order_input

ALFKI = Customer(number="ALFKI", name="Alfreds Futterkiste", city="Berlin", country="Germany")
BONAP = Customer(number="BONAP", name="Bon app'", email="info@bonapp.example")
CHAI = Product(sku="CHAI", name="Chai", prices=(Price(currency="USD", unit_price=Decimal("18")),))
TOFU = Product(
    sku="TOFU",
    name="Tofu",
    description="Soft",
    prices=(
        Price(currency="EUR", unit_price=Decimal("21.50")),
        Price(currency="USD", unit_price=Decimal("23.25")),
    ),
)


def line(
    number: int, sku: str = "CHAI", quantity: str = "2", price: str | None = "18", discount: str = "0"
) -> LineInput:
    return LineInput(
        number=number,
        sku=sku,
        quantity=Decimal(quantity),
        unit_price=None if price is None else Decimal(price),
        discount=Decimal(discount),
    )


def order(number: str = "10248", **changes: Any) -> OrderInput:
    fields: dict[str, Any] = {
        "customer": "ALFKI",
        "placed_at": datetime(2026, 2, 27, 9, 30, tzinfo=UTC),
        "currency": "USD",
        "stage": Stage.PLACED,
        "channel": "web",
        "promised_on": date(2026, 3, 5),
        "freight": Decimal("32.38"),
        "ship_to_city": "Reims",
        "lines": (line(1), line(2, "TOFU", "1.5", "23.25", "0.15")),
    }
    return order_input(number=number, **(fields | changes))


def placements(items: Iterable[OrderInput]) -> list[Placement]:
    return [Placement(order=item) for item in items]


async def stock(store: Store) -> None:
    """Two customers and two products, with nothing left to send."""
    async with store.transaction() as uow:
        await customers.save(uow, [ALFKI, BONAP])
        await products.save(uow, [CHAI, TOFU])
    await settle_everything(store)


async def place(store: Store, *items: OrderInput) -> None:
    async with store.transaction() as uow:
        await orders.save(uow, items)


async def pending(
    store: Store, entity: EntityKind = EntityKind.ORDER, *, of: int = 1, limit: int = 1000
) -> list[Change]:
    """The changes that are due now, in all partitions."""
    async with store.reader() as connection:
        return await _due(connection, entity, store.clock.now(), of=of, limit=limit)


async def _due(
    connection: AsyncConnection, entity: EntityKind, now: datetime, *, of: int = 1, limit: int = 1000
) -> list[Change]:
    partitions = set(range(of))
    return await outbox.list_due(connection, entity=entity, partitions=partitions, of=of, now=now, limit=limit)


async def due_keys(store: Store, entity: EntityKind = EntityKind.ORDER) -> list[str]:
    return [change.key for change in await pending(store, entity)]


async def settle_everything(store: Store) -> None:
    """Settle all due changes, as if the org had accepted them."""
    async with store.transaction() as uow:
        changes = [change for kind in EntityKind for change in await _due(uow.connection, kind, uow.now)]
        await outbox.settle(uow, changes)
