"""Write the spool to the store: customers, products, then whole orders, each batch in one transaction.

If the database rejects a batch for its data, its entities are stored one by one, so that a bad one is left out alone.
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
from connector.orders.importing.column_sources import DEFAULT
from connector.orders.importing.field_parsers import quote_value
from connector.orders.importing.order_loader import OrderRows, save_orders
from connector.orders.importing.outcome import BatchOutcome, missing_value, values_of
from connector.orders.importing.plan import SLOTS
from connector.orders.importing.progress import ProgressReporter
from connector.orders.importing.reader import Place
from connector.orders.importing.report import ImportReport
from connector.orders.importing.rows import OF_ORDER
from connector.orders.importing.spool import Entity, Spool
from connector.store import customers, products
from connector.store.engine import Store
from connector.store.retry import retry_on_abort
from connector.store.unit_of_work import UnitOfWork

BATCH = 500
"""Entities per transaction. An import that is stopped has stored whole orders, and can be run again."""

T = TypeVar("T")
Save = Callable[[UnitOfWork, Sequence[T], BatchOutcome], Awaitable[None]]

_VALUE_ERRORS = (ArithmeticError, ValueError, TypeError)
"""What a database driver or a constructor raises for a value that it cannot take."""

UNIT_PRICE, CURRENCY = SLOTS["products"]["unit_price"], SLOTS["products"]["currency"]
ORDER_CURRENCY = SLOTS["orders"]["currency"]


class Loader:
    def __init__(self, store: Store, spool: Spool, report: ImportReport, progress: ProgressReporter) -> None:
        self._store = store
        self._spool = spool
        self._report = report
        self._progress = progress

    async def store_customers(self) -> None:
        rows = ((key, entity) for key, _, entity in self._spool.entities("customers"))
        await self._save_all("customers", rows, self._save_customers, self._place_getter("customers"))

    async def store_products(self) -> None:
        await self._save_all(
            "products", self._products_with_prices(), self._save_products, self._place_getter("products")
        )

    async def store_orders(self) -> None:
        async def save(uow: UnitOfWork, batch: Sequence[OrderRows], outcome: BatchOutcome) -> None:
            await save_orders(uow, self._spool, batch, outcome)

        await self._save_all("orders", self._orders_with_lines(), save, lambda order: order.place(self._spool))
        for number in self._spool.all_spoiled("orders"):
            self._report.leave_out(number)

    async def _save_all(self, kind: str, items: Iterable[T], save: Save[T], place: Callable[[T], Place]) -> None:
        self._progress.begin(f"Storing {kind}", self._report.expected[kind])
        remaining = iter(items)
        while batch := list(islice(remaining, BATCH)):
            await self._save_batch(kind, batch, save, place)
            self._progress.advance(len(batch))

    async def _save_batch(self, kind: str, batch: Sequence[T], save: Save[T], place: Callable[[T], Place]) -> None:
        async def store_batch() -> BatchOutcome:
            outcome = BatchOutcome()
            async with self._store.transaction() as uow:
                await save(uow, batch, outcome)
            return outcome

        try:
            outcome = await retry_on_abort(self._store.clock, store_batch)
        except (StoreError, *_VALUE_ERRORS) as error:
            if isinstance(error, StoreError) and error.retry_class is not RetryClass.DATA:
                raise
            if len(batch) > 1:
                for item in batch:
                    await self._save_batch(kind, [item], save, place)
                return
            outcome = BatchOutcome()
            text = error.message if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
            outcome.fault(kind, place(batch[0]), f"cannot be stored: {' '.join(text.split())}")
        outcome.add_to(kind, self._report)

    def _place_getter(self, kind: str) -> Callable[[Any], Place]:
        def place(item: tuple[str, Entity, Any]) -> Place:
            return self._spool.place_of(kind, item[1].places[0], next(iter(SLOTS[kind])))

        return place

    # Customers

    async def _save_customers(
        self, uow: UnitOfWork, batch: Sequence[tuple[str, Entity]], outcome: BatchOutcome
    ) -> None:
        stored = {item.number: item for item in await customers.load(uow.connection, [key for key, _ in batch])}
        to_save = []
        for key, entity in batch:
            values, existing = values_of("customers", entity), stored.get(key)
            to_save.append(
                existing.updated_from_order(**values) if existing else Customer.named_by_order(number=key, **values)
            )
        outcome.saved = await customers.save(uow, to_save)

    # Products

    def _products_with_prices(self) -> Iterator[tuple[str, Entity, list[tuple[str, Entity]]]]:
        """Yield each product with its prices, by SKU."""
        prices = groupby(self._spool.entities("prices"), key=lambda row: row[0])
        current = next(prices, None)
        for key, _, entity in self._spool.entities("products"):
            product_prices = []
            while current is not None and current[0] < key:
                current = next(prices, None)
            if current is not None and current[0] == key:
                product_prices = [(sub, price) for _, sub, price in current[1]]
            yield key, entity, product_prices

    async def _save_products(
        self, uow: UnitOfWork, batch: Sequence[tuple[str, Entity, list[tuple[str, Entity]]]], outcome: BatchOutcome
    ) -> None:
        stored = {item.sku: item for item in await products.load(uow.connection, [key for key, _, _ in batch])}
        to_save = []
        for key, entity, prices in batch:
            existing = stored.get(key)
            if missing := missing_value("products", entity, self._spool, new=existing is None):
                outcome.fault("products", *missing)
                self._spool.spoil("products", key)
                continue
            values = {name: value for name, value in values_of("products", entity).items()
                      if name in {"name", "description"} or (name == "active" and value is not None)}  # fmt: skip
            product = replace(existing, **values) if existing else Product(sku=key, **values)
            to_save.append(self._with_new_prices(product, prices, outcome))
        outcome.saved = await products.save(uow, to_save)

    def _with_new_prices(
        self, product: Product, prices: Sequence[tuple[str, Entity]], outcome: BatchOutcome
    ) -> Product:
        """Return `product` with one price per currency that rows have; an empty price removes that currency's price."""
        latest: dict[str, tuple[int, Any]] = {}
        for sub, entity in prices:
            currency = sub if not sub.startswith(OF_ORDER) else self._currency_of(sub.removeprefix(OF_ORDER), entity)
            amount, place = entity.values[UNIT_PRICE], entity.places[UNIT_PRICE]
            if currency is None and amount is not None:
                where = self._spool.place_of("products", place, "currency")
                outcome.fault("products", where, "is empty, but there is a price; add its currency")
            elif currency is not None:
                before = latest.get(currency, (-1, None))
                if before[1] is not None and amount is not None and Decimal(before[1]) != Decimal(amount):
                    outcome.notices.append(self._price_notice(product.sku, before, (place, amount)))
                if before[1] is None or (amount is not None and place > before[0]):
                    latest[currency] = (place, amount)
        unchanged = [price for price in product.prices if price.currency not in latest]
        new = [
            Price(currency=currency, unit_price=Decimal(amount))
            for currency, (_, amount) in latest.items() if amount is not None
        ]  # fmt: skip
        return replace(product, prices=tuple(sorted((*unchanged, *new), key=lambda price: price.currency)))

    def _price_notice(self, sku: str, first: tuple[int, Any], second: tuple[int, Any]) -> tuple[Place, str, str]:
        (before, was), (place, now) = sorted((first, second))
        where = self._spool.place_of("products", place, "unit_price")
        earlier = self._spool.file_and_line(before)
        what = f"product {quote_value(sku)} has {quote_value(now)} here and {quote_value(was)} in {earlier}"
        return where, f"{what}; the later one is used", "another price of a product"

    def _currency_of(self, order: str, price: Entity) -> str | None:
        """Return the currency of a price whose row has none: that of its order, else the default of the profile."""
        entity = self._spool.stored("orders", order)
        if entity is not None and (entity.ranks[ORDER_CURRENCY] < DEFAULT or price.values[CURRENCY] is None):
            return entity.values[ORDER_CURRENCY]  # type: ignore[no-any-return]
        return price.values[CURRENCY]  # type: ignore[no-any-return]

    # Orders

    def _orders_with_lines(self) -> Iterator[OrderRows]:
        """Yield each order with its lines, by number, including orders that have only line rows."""
        rows = self._spool.entities("orders")
        lines = self._spool.lines()
        order, lines_group = next(rows, None), next(lines, None)
        while order is not None or lines_group is not None:
            key = min(item[0] for item in (order, lines_group) if item is not None)
            entity, order_lines = None, []
            if order is not None and order[0] == key:
                entity, order = order[2], next(rows, None)
            if lines_group is not None and lines_group[0] == key:
                order_lines, lines_group = lines_group[1], next(lines, None)
            yield OrderRows(key, entity, order_lines)
