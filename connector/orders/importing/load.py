"""One import from files to store: read and check everything, then store customers, products and whole orders.

What a row does not mention stays as it is stored; an order with a bad line is left out whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import UsageError
from connector.model.customer import Customer
from connector.model.keys import check_new_order_number
from connector.model.order import Line, LineInput, Order, OrderInput
from connector.model.product import Price, Product
from connector.model.stage import Stage
from connector.orders.importing.fields import KINDS
from connector.orders.importing.profile import Profile, own_form
from connector.orders.importing.reader import Place
from connector.orders.importing.spool import Spool, Spooled
from connector.orders.importing.stage import Stage as Staging
from connector.store import customers, orders, products
from connector.store.bulk import Saved
from connector.store.engine import Store

BATCH = 500
"""Entities a transaction: an import that is stopped has stored whole orders, and can be run again."""

OBJECTS = (".ndjson", ".jsonl")
ORDER_FIELDS = [item.name for item in fields(OrderInput) if item.name not in {"number", "lines"}]


class Watcher(Protocol):
    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...


@dataclass(kw_only=True)
class ImportReport:
    """Entities by kind, `lines` those of stored orders; `bad` counts rows by kind, `problems` are one line each."""

    saved: dict[str, Saved] = field(default_factory=dict)
    lines: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


async def import_files(
    store: Store, paths: Sequence[Path], profile: Profile | None, *, watcher: Watcher
) -> ImportReport:
    """Import `paths`. UsageError, and nothing stored, for files that cannot be read as what they should be."""
    report = ImportReport()
    spool = Spool()

    def say(kind: str, place: Place, what: str) -> None:
        report.bad[kind] += 1
        report.problems.append(f"{place} {what}")

    try:
        staging = Staging(spool, say)
        tables, objects = _files(paths, profile or own_form())
        if tables:
            staging.tables(tables, profile or own_form())
        for path in objects:
            staging.objects(path)
        watcher.expect(sum(spool.count(kind) for kind in ("customers", "products", "orders")))
        loader = _Loader(store, spool, report, say, watcher)
        await loader.customers()
        await loader.products()
        await loader.orders()
    finally:
        spool.close()
    return report


def _files(paths: Sequence[Path], profile: Profile) -> tuple[dict[str, Path], list[Path]]:
    """CSV files by their name in the profile, and NDJSON files."""
    tables: dict[str, Path] = {}
    objects: list[Path] = []
    names = {name: key for key, name in profile.files.items()}
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no {path}.")
        if path.is_dir():
            tables |= {key: path / name for name, key in names.items() if (path / name).is_file()}
            objects += sorted(item for item in path.iterdir() if item.suffix in OBJECTS) if profile.own else []
        elif path.name in names:
            tables[names[path.name]] = path
        elif profile.own and path.suffix in OBJECTS:
            objects.append(path)
        elif not profile.own and len(profile.files) == 1:
            tables[next(iter(profile.files))] = path
        else:
            raise UsageError(f"{path.name} is none of {', '.join(names)}.", hint="Name a profile with --profile.")
    if not tables and not objects:
        raise UsageError(f"There is none of {', '.join(names)} in {paths[0]}.", hint="Name a profile with --profile.")
    missing = sorted(name for name, key in names.items() if key not in tables)
    if missing and not profile.own:
        raise UsageError(f"The profile needs {', '.join(missing)}, which is not there.")
    return tables, objects


class _Loader:
    def __init__(self, store: Store, spool: Spool, report: ImportReport, say: Any, watcher: Watcher) -> None:
        self._store = store
        self._spool = spool
        self._report = report
        self._say = say
        self._watcher = watcher

    def _add(self, kind: str, saved: Saved) -> None:
        self._report.saved[kind] = self._report.saved.get(kind, Saved()) + saved

    async def customers(self) -> None:
        for batch in _batches(self._spool.rows("customers")):
            async with self._store.transaction() as uow:
                stored = {
                    item.number: item for item in await customers.load(uow.connection, [row.key for row in batch])
                }
                wanted = [self._customer(row, stored.get(row.key)) for row in batch]
                saved = await customers.save(uow, [item for item in wanted if item is not None])
            self._add("customers", saved)
            self._watcher.advance(len(batch))

    def _customer(self, row: Spooled, stored: Customer | None) -> Customer | None:
        if not self._complete("customers", row, new=stored is None):
            return None
        return stored.told(**row.values) if stored else Customer.called(number=row.key, **row.values)

    async def products(self) -> None:
        grouped = (list(rows) for _, rows in groupby(self._spool.rows("products"), key=lambda row: row.key))
        for batch in _batches(grouped):
            async with self._store.transaction() as uow:
                keys = [rows[0].key for rows in batch]
                stored = {item.sku: item for item in await products.load(uow.connection, keys)}
                wanted = [self._product(rows, stored.get(rows[0].key)) for rows in batch]
                saved = await products.save(uow, [item for item in wanted if item is not None])
            self._add("products", saved)
            self._watcher.advance(len(batch))

    def _product(self, rows: Sequence[Spooled], product: Product | None) -> Product | None:
        """The product with one price per row; a row with an empty price takes that price away."""
        for row in rows:
            if not self._complete("products", row, new=product is None):
                return None
            values: dict[str, Any] = {name: row.values[name] for name in ("name", "description") if name in row.values}
            if row.values.get("active") is not None:
                values["active"] = row.values["active"]
            product = replace(product, **values) if product else Product(sku=row.key, **values)
            if "unit_price" not in row.values:
                continue
            currency, amount = row.values.get("currency"), row.values["unit_price"]
            if amount is not None and currency is None:
                self._say("products", row.place("currency"), "is empty, but there is a price; say in which currency")
                return None
            others = tuple(price for price in product.prices if currency is not None and price.currency != currency)
            new = (Price(currency=str(currency), unit_price=amount),) if amount is not None else ()
            product = replace(product, prices=tuple(sorted((*others, *new), key=lambda price: price.currency)))
        return product

    async def orders(self) -> None:
        for batch in _batches(self._spool.rows("orders")):
            await self._orders({row.key: row for row in batch})
            self._watcher.advance(len(batch))
        for keys in _batches(self._spool.lines_without_order()):
            await self._orders(dict.fromkeys(keys))

    async def _orders(self, rows: Mapping[str, Spooled | None]) -> None:
        lines = {key: self._spool.of("lines", key) for key in rows}
        async with self._store.transaction() as uow:
            stored = {item.number: item for item in await orders.load(uow.connection, list(rows))}
            known = await _Known.load(uow.connection, rows.values(), lines.values())
            wanted = []
            for key, row in rows.items():
                order = self._order(key, row, lines[key], stored.get(key), known)
                if order is not None:
                    wanted.append(order)
            saved = await orders.save(uow, wanted)
        self._add("orders", saved)
        self._report.lines += sum(len(order.lines) for order in wanted)

    def _order(
        self, key: str, row: Spooled | None, lines: Sequence[Spooled], stored: Order | None, known: _Known
    ) -> OrderInput | None:
        """The order as it shall be stored; None, and why, if it must be left out."""
        first = row or lines[0]
        spoilt = self._spool.spoilt(key)
        if row is None and stored is None and not spoilt:
            for line in lines:
                self._say("lines", line.place("order"), f"there is no order {key!r}; import it, or correct the number")
            return None
        for line in lines:
            if not self._known_line(line, stored, known):
                spoilt += 1
        if row is not None and not self._known_order(row, stored, known):
            return None
        if spoilt:
            rest = f"{spoilt} of its rows cannot be used" if spoilt > 1 else "one of its rows cannot be used"
            self._say("orders", first.place("number" if row else "order"), f"order {key!r} is left out whole: {rest}")
            return None
        header = _header(key, stored, row.values if row else {})
        if lines:
            before = {line.number: line for line in stored.lines} if stored else {}
            made = [_line(line, header.currency, before.get(int(line.sub)), known) for line in lines]
            return replace(header, lines=tuple(sorted(made, key=lambda item: item.number)))
        if stored is None:
            return header
        moved = header.currency != stored.currency
        return replace(header, lines=tuple(_repriced(line, header.currency) if moved else _as_input(line)
                                           for line in stored.lines))  # fmt: skip

    def _known_order(self, row: Spooled, stored: Order | None, known: _Known) -> bool:
        if not self._complete("orders", row, new=stored is None):
            return False
        if stored is None:
            try:
                check_new_order_number(row.key)
            except ValueError as error:
                self._say("orders", row.place("number"), str(error))
                return False
        customer = row.values.get("customer")
        if customer is not None and customer not in known.customers:
            what = f"there is no customer {customer!r}; import it, or correct the number"
            self._say("orders", row.place("customer"), what)
            return False
        return True

    def _known_line(self, line: Spooled, stored: Order | None, known: _Known) -> bool:
        exists = stored is not None and any(str(item.number) == line.sub for item in stored.lines)
        if not self._complete("lines", line, new=not exists):
            return False
        sku = line.values.get("sku")
        if sku is not None and sku not in known.products:
            self._say("lines", line.place("sku"), f"there is no product {sku!r}; import it, or correct the SKU")
            return False
        return True

    def _complete(self, kind: str, row: Spooled, *, new: bool) -> bool:
        for name in KINDS[kind].required:
            if row.values.get(name) is None and (new or name in row.values):
                what = (
                    "is empty; it needs a value" if name in row.values else f"has no {name}; it is new, and needs one"
                )
                self._say(kind, row.place(name), what)
                return False
        return True


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the rows of a batch refer to, as far as it is stored."""

    customers: set[str]
    products: dict[str, Product]

    @classmethod
    async def load(
        cls, connection: AsyncConnection, rows: Iterable[Spooled | None], lines: Iterable[Sequence[Spooled]]
    ) -> _Known:
        numbers = {row.values["customer"] for row in rows if row is not None and row.values.get("customer")}
        skus = {line.values["sku"] for of_order in lines for line in of_order if line.values.get("sku")}
        return cls(
            customers={item.number for item in await customers.load(connection, sorted(numbers))},
            products={item.sku: item for item in await products.load(connection, sorted(skus))},
        )


def _header(key: str, stored: Order | None, values: Mapping[str, Any]) -> OrderInput:
    given = dict(values)
    if given.get("stage") is None:
        given.pop("stage", None)
    else:
        given["stage"] = Stage(given["stage"])
    if given.get("ship_complete") is None:
        given.pop("ship_complete", None)
    if stored is None:
        return OrderInput(number=key, **given)
    kept = {name: getattr(stored, name) for name in ORDER_FIELDS if name != "customer"}
    return OrderInput(number=key, **{"customer": stored.customer.number, **kept, **given})


def _line(row: Spooled, currency: str, stored: Line | None, known: _Known) -> LineInput:
    given = dict(row.values)
    if given.get("discount") is None:
        given.pop("discount", None)
    line = replace(_as_input(stored), **given) if stored else LineInput(number=int(row.sub), **given)
    if stored and "unit_price" not in given and (line.sku, currency) != (stored.product.sku, stored.currency):
        line = replace(line, unit_price=None)  # the old price was for something else
    if line.unit_price is None and line.sku in known.products:
        prices = {price.currency: price.unit_price for price in known.products[line.sku].prices}
        return replace(line, unit_price=prices.get(currency))
    return line


def _repriced(line: Line, currency: str) -> LineInput:
    """The line at its product's list price in another currency."""
    prices = {price.currency: price.unit_price for price in line.product.prices}
    return replace(_as_input(line), unit_price=prices.get(currency))


def _as_input(line: Line) -> LineInput:
    return LineInput(
        number=line.number,
        sku=line.product.sku,
        quantity=line.quantity,
        unit_price=line.unit_price,
        discount=line.discount,
    )


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH)):
        yield batch
