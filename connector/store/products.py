"""Saves and loads products with their list prices. A change of a price is a change of the product."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.copying import evolved
from connector.model.lane import Lane
from connector.model.product import Price, Product
from connector.store import dead_letters, field_times
from connector.store.partitions import slot_of_key
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
from connector.store.unit_of_work import UnitOfWork

_COLUMNS = tuple(products.c[name] for name in ("sku", "name", "description", "active", "placeholder"))
_WITH_PRICES = (
    select(*_COLUMNS, prices.c.currency, prices.c.unit_price)
    .outerjoin(prices, prices.c.sku == products.c.sku)
    .order_by(products.c.sku, prices.c.currency)
)
_LOCKED = select(products.c.sku).order_by(products.c.sku).with_for_update()
_INSERT_PRICES = insert(prices)
_DELETE_PRICES = delete(prices).where(prices.c.sku.in_(bindparam("the_skus", expanding=True)))


async def save(
    uow: UnitOfWork,
    items: Sequence[Product],
    *,
    lane: Lane = Lane.PROFILE,
    locked: Mapping[str, Product] | None = None,
) -> Saved:
    """Store `items` with their prices, replacing products with the same SKU. If a SKU occurs twice, the last one wins.

    A price that is no longer listed is deleted here; the next push deactivates its price book entry.
    `locked`: those of them that are stored, as `lock` has returned them in this transaction.
    """
    wanted = {product.sku: _ordered(product) for product in items}
    stored = {**locked} if locked is not None else await lock(uow.connection, wanted)

    new = [_row(uow, wanted[sku]) | {"version": 1} for sku in sorted(wanted.keys() - stored.keys())]
    created = await insert_missing(uow.connection, products, new)
    if len(created) < len(new):  # another process has just inserted some of them
        stored |= await lock(uow.connection, {row["sku"] for row in new} - created)

    changed = [sku for sku in sorted(stored) if stored[sku] != wanted[sku]]
    await update_rows(uow.connection, products, [_row(uow, wanted[sku]) for sku in changed])
    compared = [(sku, stored[sku], wanted[sku]) for sku in changed]
    await field_times.note(uow, EntityKind.PRODUCT, compared, ("name", "description", "active"))
    repriced = [sku for sku in changed if stored[sku].prices != wanted[sku].prices]
    for chunk in chunks(repriced):
        await uow.connection.execute(_DELETE_PRICES, {"the_skus": chunk})
    listed = [
        {"sku": sku, "currency": price.currency, "unit_price": price.unit_price}
        for sku in [*sorted(created), *repriced]
        for price in wanted[sku].prices
    ]
    if listed:
        await uow.connection.execute(_INSERT_PRICES, listed)

    for sku in [*created, *changed]:
        uow.changed(EntityKind.PRODUCT, sku, slot_of_key(sku), lane)
    await dead_letters.requeue_blocked_by(uow, [f"{EntityKind.PRODUCT} {sku}" for sku in changed])
    return Saved(created=len(created), updated=len(changed), unchanged=len(stored) - len(changed))


async def load(connection: AsyncConnection, skus: Sequence[str]) -> list[Product]:
    """Return the products in the sequence of `skus`, without unknown ones; prices are sorted by currency."""
    products_by_sku = await find(connection, skus)
    return [products_by_sku[sku] for sku in skus if sku in products_by_sku]


async def find(connection: AsyncConnection, skus: Iterable[str]) -> dict[str, Product]:
    """Return the products of `skus`, by SKU."""
    products_by_sku: dict[str, Product] = {}
    listed: dict[str, list[Price]] = {}
    for row in await select_in(connection, _WITH_PRICES, products.c.sku, skus):
        sku, name, description, active, placeholder, currency, unit_price = row
        if sku not in products_by_sku:
            products_by_sku[sku] = Product(
                sku=sku, name=name, description=description, active=active, placeholder=placeholder, prices=()
            )
        if currency is not None:
            listed.setdefault(sku, []).append(Price(currency=currency, unit_price=unit_price))
    return {sku: evolved(item, {"prices": tuple(listed.get(sku, ()))}) for sku, item in products_by_sku.items()}


async def lock(connection: AsyncConnection, skus: Iterable[str]) -> dict[str, Product]:
    """Lock the rows of these products until the transaction ends; return those that are stored, by SKU."""
    wanted = sorted(skus)
    # By a separate statement: after a wait, a join would return the old prices.
    await select_in(connection, _LOCKED, products.c.sku, wanted)
    return await find(connection, wanted)


async def versions(connection: AsyncConnection, skus: Sequence[str], *, lock: bool = False) -> dict[str, int]:
    """Return the version of each stored product, by SKU. `lock`: lock the rows until the transaction ends."""
    return await versions_of(connection, products, skus, lock=lock)


async def list_keys(connection: AsyncConnection, *, after: str | None, limit: int) -> list[str]:
    """Return up to `limit` SKUs that follow `after`, in byte order."""
    return await list_page_of_keys(connection, select(products.c.sku), products.c.sku, after=after, limit=limit)


def keys(connection: AsyncConnection) -> AsyncIterator[str]:
    """Iterate over all SKUs, in byte order."""
    return all_keys(connection, products.c.sku)


async def list_currencies(connection: AsyncConnection) -> list[str]:
    """Return the currencies in which there are prices, sorted."""
    return list((await connection.execute(select(prices.c.currency).distinct().order_by(prices.c.currency))).scalars())


async def count(connection: AsyncConnection) -> int:
    return await count_rows(connection, products)


def _ordered(product: Product) -> Product:
    """Return the product with its prices sorted by currency, as it is loaded; of two prices in a currency the last one
    wins."""
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
