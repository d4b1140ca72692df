"""Products with their list prices, in and out. A product that changes only in a price is a changed product."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.copying import evolved
from connector.model.product import Price, Product
from connector.store import dead_letters
from connector.store.partitions import partition_hash
from connector.store.sql import (
    Row,
    Saved,
    all_keys,
    chunks,
    count_rows,
    insert_missing,
    list_page_of_keys,
    select_in,
    update_rows,
    versions_of,
)
from connector.store.tables import prices, products
from connector.store.unit_of_work import Lane, UnitOfWork

_COLUMNS = tuple(products.c[name] for name in ("sku", "name", "description", "active", "placeholder"))
_WITH_PRICES = (
    select(*_COLUMNS, prices.c.currency, prices.c.unit_price)
    .outerjoin(prices, prices.c.sku == products.c.sku)
    .order_by(products.c.sku, prices.c.currency)
)


async def save(uow: UnitOfWork, items: Sequence[Product], *, lane: Lane = Lane.PROFILE) -> Saved:
    """Make the stored products and their prices equal `items`; where a SKU comes twice, the last one stands.

    A price that is no longer named is deleted here; the next push switches its price book entry off.
    """
    wanted = {product.sku: _ordered(product) for product in items}
    stored = await _find(uow.connection, sorted(wanted), lock=True)

    new = [_row(uow, wanted[sku]) | {"version": 1} for sku in sorted(wanted.keys() - stored.keys())]
    created = await insert_missing(uow.connection, products, new)
    if len(created) < len(new):  # another process was quicker with some of them
        stored |= await _find(uow.connection, sorted({row["sku"] for row in new} - created), lock=True)

    changed = [sku for sku in sorted(stored) if stored[sku] != wanted[sku]]
    await update_rows(uow.connection, products, [_row(uow, wanted[sku]) for sku in changed])
    repriced = [sku for sku in changed if stored[sku].prices != wanted[sku].prices]
    for chunk in chunks(repriced):
        await uow.connection.execute(delete(prices).where(prices.c.sku.in_(chunk)))
    listed = [
        {"sku": sku, "currency": price.currency, "unit_price": price.unit_price}
        for sku in [*sorted(created), *repriced]
        for price in wanted[sku].prices
    ]
    if listed:
        await uow.connection.execute(insert(prices), listed)

    for sku in [*created, *changed]:
        uow.changed(EntityKind.PRODUCT, sku, partition_hash(sku), lane)
    await dead_letters.requeue_blocked_by(uow, [f"{EntityKind.PRODUCT} {sku}" for sku in changed])
    return Saved(created=len(created), updated=len(changed), unchanged=len(stored) - len(changed))


async def load(connection: AsyncConnection, skus: Sequence[str]) -> list[Product]:
    """The products of `skus`, in that order, prices by currency; unknown ones are left out."""
    found = await find(connection, skus)
    return [found[sku] for sku in skus if sku in found]


async def find(connection: AsyncConnection, skus: Iterable[str]) -> dict[str, Product]:
    """The products of `skus` by SKU."""
    return await _find(connection, list(skus), lock=False)


async def versions(connection: AsyncConnection, skus: Sequence[str], *, lock: bool = False) -> dict[str, int]:
    """How often each of these was changed, by SKU; `lock`: nobody changes them before this transaction ends."""
    return await versions_of(connection, products, skus, lock=lock)


async def list_keys(connection: AsyncConnection, *, after: str | None, limit: int) -> list[str]:
    """Up to `limit` SKUs behind `after`, in byte order."""
    return await list_page_of_keys(connection, select(products.c.sku), products.c.sku, after=after, limit=limit)


def keys(connection: AsyncConnection) -> AsyncIterator[str]:
    """Every SKU, in byte order, a page at a time."""
    return all_keys(connection, products.c.sku)


async def count(connection: AsyncConnection) -> int:
    return await count_rows(connection, products)


async def _find(connection: AsyncConnection, skus: Sequence[str], *, lock: bool) -> dict[str, Product]:
    if lock:  # by a statement of its own: after a wait, one that joins would see the prices as they were
        locking = select(products.c.sku).order_by(products.c.sku).with_for_update()
        await select_in(connection, locking, products.c.sku, skus)
    found: dict[str, Product] = {}
    listed: dict[str, list[Price]] = {}
    for row in await select_in(connection, _WITH_PRICES, products.c.sku, skus):
        sku, name, description, active, placeholder, currency, unit_price = row
        if sku not in found:
            found[sku] = Product(
                sku=sku, name=name, description=description, active=active, placeholder=placeholder, prices=()
            )
        if currency is not None:
            listed.setdefault(sku, []).append(Price(currency=currency, unit_price=unit_price))
    return {sku: evolved(item, {"prices": tuple(listed.get(sku, ()))}) for sku, item in found.items()}


def _ordered(product: Product) -> Product:
    """With prices by currency, as they are loaded; of two for one currency the last stands."""
    latest = {price.currency: price for price in product.prices}
    return replace(product, prices=tuple(latest[currency] for currency in sorted(latest)))


def _row(uow: UnitOfWork, product: Product) -> Row:
    return {
        "sku": product.sku,
        "name": product.name,
        "description": product.description,
        "active": product.active,
        "placeholder": product.placeholder,
        "updated_at": uow.now,
    }
