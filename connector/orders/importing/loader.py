"""From the spool to the store: customers, products, then whole orders, a batch a transaction.

A batch that the database refuses for what is in it is stored one by one, so that one order keeps out no other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import groupby, islice
from typing import Any, TypeVar

from connector.errors import RetryClass, StoreError
from connector.model.customer import Customer
from connector.model.product import Price, Product
from connector.orders.importing.fields import shown
from connector.orders.importing.order_loader import OrderRows, save_orders
from connector.orders.importing.outcome import Outcome, incomplete, values_of
from connector.orders.importing.plan import SLOTS
from connector.orders.importing.progress import ProgressReporter
from connector.orders.importing.reader import Place
from connector.orders.importing.report import ImportReport
from connector.orders.importing.rows import OF_ORDER
from connector.orders.importing.spool import Entity, Spool
from connector.orders.importing.values import DEFAULT
from connector.store import customers, products
from connector.store.engine import Store
from connector.store.retry import retry_on_abort
from connector.store.unit_of_work import UnitOfWork

BATCH = 500
"""Entities a transaction: an import that is stopped has stored whole orders, and can be run again."""

T = TypeVar("T")
Save = Callable[[UnitOfWork, Sequence[T], Outcome], Awaitable[None]]

_REFUSED = (ArithmeticError, ValueError, TypeError)
"""What a database driver or a type makes of a value that it cannot take."""

UNIT_PRICE, CURRENCY = SLOTS["products"]["unit_price"], SLOTS["products"]["currency"]
ORDER_CURRENCY = SLOTS["orders"]["currency"]


class Loader:
    def __init__(self, store: Store, spool: Spool, report: ImportReport, watcher: ProgressReporter) -> None:
        self._store = store
        self._spool = spool
        self._report = report
        self._watcher = watcher

    async def customers(self) -> None:
        rows = ((key, entity) for key, _, entity in self._spool.entities("customers"))
        await self._all("customers", rows, self._save_customers, self._place("customers"))

    async def products(self) -> None:
        await self._all("products", self._with_prices(), self._save_products, self._place("products"))

    async def orders(self) -> None:
        async def save(uow: UnitOfWork, batch: Sequence[OrderRows], outcome: Outcome) -> None:
            await save_orders(uow, self._spool, batch, outcome)

        await self._all("orders", self._with_lines(), save, lambda order: order.place(self._spool))
        for number in self._spool.all_spoiled("orders"):
            self._report.leave_out(number)

    async def _all(self, kind: str, items: Iterable[T], save: Save[T], place: Callable[[T], Place]) -> None:
        self._watcher.begin(f"Storing {kind}", self._report.expected[kind])
        remaining = iter(items)
        while batch := list(islice(remaining, BATCH)):
            await self._batch(kind, batch, save, place)
            self._watcher.advance(len(batch))

    async def _batch(self, kind: str, batch: Sequence[T], save: Save[T], place: Callable[[T], Place]) -> None:
        async def once() -> Outcome:
            outcome = Outcome()
            async with self._store.transaction() as uow:
                await save(uow, batch, outcome)
            return outcome

        try:
            outcome = await retry_on_abort(self._store.clock, once)
        except (StoreError, *_REFUSED) as error:
            if isinstance(error, StoreError) and error.retry_class is not RetryClass.DATA:
                raise
            if len(batch) > 1:
                for item in batch:
                    await self._batch(kind, [item], save, place)
                return
            outcome = Outcome()
            said = error.message if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
            outcome.fault(kind, place(batch[0]), f"cannot be stored: {' '.join(said.split())}")
        outcome.tell(kind, self._report)

    def _place(self, kind: str) -> Callable[[Any], Place]:
        def place(item: tuple[str, Entity, Any]) -> Place:
            return self._spool.place_of(kind, item[1].places[0], next(iter(SLOTS[kind])))

        return place

    # Customers

    async def _save_customers(self, uow: UnitOfWork, batch: Sequence[tuple[str, Entity]], outcome: Outcome) -> None:
        stored = {item.number: item for item in await customers.load(uow.connection, [key for key, _ in batch])}
        wanted = []
        for key, entity in batch:
            values, known = values_of("customers", entity), stored.get(key)
            wanted.append(
                known.updated_from_order(**values) if known else Customer.named_by_order(number=key, **values)
            )
        outcome.saved = await customers.save(uow, wanted)

    # Products

    def _with_prices(self) -> Iterator[tuple[str, Entity, list[tuple[str, Entity]]]]:
        """Products by SKU with what rows say of their prices."""
        prices = groupby(self._spool.entities("prices"), key=lambda row: row[0])
        current = next(prices, None)
        for key, _, entity in self._spool.entities("products"):
            found = []
            while current is not None and current[0] < key:
                current = next(prices, None)
            if current is not None and current[0] == key:
                found = [(sub, price) for _, sub, price in current[1]]
            yield key, entity, found

    async def _save_products(
        self, uow: UnitOfWork, batch: Sequence[tuple[str, Entity, list[tuple[str, Entity]]]], outcome: Outcome
    ) -> None:
        stored = {item.sku: item for item in await products.load(uow.connection, [key for key, _, _ in batch])}
        wanted = []
        for key, entity, prices in batch:
            known = stored.get(key)
            if wrong := incomplete("products", entity, self._spool, new=known is None):
                outcome.fault("products", *wrong)
                self._spool.spoil("products", key)
                continue
            values = {name: value for name, value in values_of("products", entity).items()
                      if name in {"name", "description"} or (name == "active" and value is not None)}  # fmt: skip
            product = replace(known, **values) if known else Product(sku=key, **values)
            wanted.append(self._priced(product, prices, outcome))
        outcome.saved = await products.save(uow, wanted)

    def _priced(self, product: Product, prices: Sequence[tuple[str, Entity]], outcome: Outcome) -> Product:
        """With one price per currency that rows name; an empty price takes that price away."""
        latest: dict[str, tuple[int, Any]] = {}
        for sub, entity in prices:
            currency = sub if not sub.startswith(OF_ORDER) else self._currency_of(sub.removeprefix(OF_ORDER), entity)
            amount, place = entity.values[UNIT_PRICE], entity.places[UNIT_PRICE]
            if currency is None and amount is not None:
                where = self._spool.place_of("products", place, "currency")
                outcome.fault("products", where, "is empty, but there is a price; say in which currency")
            elif currency is not None:
                before = latest.get(currency, (-1, None))
                if before[1] is not None and amount is not None and Decimal(before[1]) != Decimal(amount):
                    outcome.notices.append(self._another_price(product.sku, before, (place, amount)))
                if before[1] is None or (amount is not None and place > before[0]):
                    latest[currency] = (place, amount)
        kept = [price for price in product.prices if price.currency not in latest]
        new = [
            Price(currency=currency, unit_price=Decimal(amount))
            for currency, (_, amount) in latest.items() if amount is not None
        ]  # fmt: skip
        return replace(product, prices=tuple(sorted((*kept, *new), key=lambda price: price.currency)))

    def _another_price(self, sku: str, one: tuple[int, Any], other: tuple[int, Any]) -> tuple[Place, str, str]:
        (before, was), (place, now) = sorted((one, other))
        where = self._spool.place_of("products", place, "unit_price")
        what = f"product {shown(sku)} has {shown(now)} here and {shown(was)} in {self._spool.told_at(before)}"
        return where, f"{what}; the later one stands", "another price of a product"

    def _currency_of(self, order: str, price: Entity) -> str | None:
        """Of a price in a row that does not say it: as another row of its order does, else by default."""
        entity = self._spool.stored("orders", order)
        if entity is not None and (entity.ranks[ORDER_CURRENCY] < DEFAULT or price.values[CURRENCY] is None):
            return entity.values[ORDER_CURRENCY]  # type: ignore[no-any-return]
        return price.values[CURRENCY]  # type: ignore[no-any-return]

    # Orders

    def _with_lines(self) -> Iterator[OrderRows]:
        """Orders by number, each with its lines; also those that only lines name."""
        rows = self._spool.entities("orders")
        lines = self._spool.lines()
        order, of_order = next(rows, None), next(lines, None)
        while order is not None or of_order is not None:
            key = min(item[0] for item in (order, of_order) if item is not None)
            entity, mine = None, []
            if order is not None and order[0] == key:
                entity, order = order[2], next(rows, None)
            if of_order is not None and of_order[0] == key:
                mine, of_order = of_order[1], next(lines, None)
            yield OrderRows(key, entity, mine)
