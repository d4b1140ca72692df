"""Saves and loads stock levels, by product and warehouse, and the reservations of order lines.

Callers lock the rows before they change them, in key order. A CHECK constraint guarantees that nothing is oversold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from operator import itemgetter

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import CommandError
from connector.model.money import plain
from connector.model.shipments import ZERO
from connector.model.stock import Reservation, ReservationKey, StockKey, StockLevel
from connector.store.sql import insert, select_in, upsert
from connector.store.tables import reservations, stock
from connector.store.unit_of_work import UnitOfWork

_LEVELS = select(stock).order_by(stock.c.sku, stock.c.warehouse)
_LOCKED_LEVELS = _LEVELS.with_for_update()


async def levels(connection: AsyncConnection, skus: Iterable[str], *, lock: bool = False) -> dict[StockKey, StockLevel]:
    """Return the stock levels of these products, by product and warehouse; `lock` locks the rows."""
    rows = await select_in(connection, _LOCKED_LEVELS if lock else _LEVELS, stock.c.sku, sorted(set(skus)))
    return {
        (row.sku, row.warehouse): StockLevel(on_hand=row.on_hand, reserved=row.reserved, since=row.since)
        for row in rows
    }


_WAREHOUSES = select(stock.c.warehouse).distinct()


async def warehouses(connection: AsyncConnection) -> set[str]:
    """Return the warehouses in which a product was ever counted."""
    return set(await connection.scalars(_WAREHOUSES))


async def count(uow: UnitOfWork, counted: Mapping[StockKey, Decimal]) -> None:
    """Set the counted quantities as stock on hand. Raises CommandError if one is less than is reserved; nothing is set
    then."""
    stored = await levels(uow.connection, [sku for sku, _ in counted], lock=True)
    for (sku, warehouse), on_hand in sorted(counted.items()):
        reserved = stored.get((sku, warehouse), StockLevel(on_hand=ZERO)).reserved
        if not on_hand.is_finite() or on_hand < reserved:
            raise CommandError(
                f"Product {sku} in {warehouse} cannot have {on_hand} on hand: {plain(reserved)} is reserved.",
                hint="Deallocate the reservations first.",
                field="on_hand",
                rule="reserved",
            )
    await save_levels(
        uow, {place: counted_level(stored.get(place), counted[place], uow.now.date()) for place in counted}
    )


async def create_missing_rows(uow: UnitOfWork, places: Iterable[StockKey]) -> None:
    """Create missing rows, so that they can be locked: two transactions that count a new place wait for each other."""
    rows = [{"sku": sku, "warehouse": place, "on_hand": ZERO, "reserved": ZERO} for sku, place in sorted(places)]
    if rows:
        await uow.connection.execute(insert(uow.connection, stock).on_conflict_do_nothing(), rows)


async def save_levels(uow: UnitOfWork, changed: Mapping[StockKey, StockLevel]) -> None:
    """Write stock levels. The caller has locked their rows."""
    rows = [
        {
            "sku": sku,
            "warehouse": warehouse,
            "on_hand": level.on_hand,
            "reserved": level.reserved,
            "since": level.since,
        }
        for (sku, warehouse), level in sorted(changed.items())
    ]
    await upsert(uow.connection, stock, rows)


_RESERVATIONS = select(reservations)


async def load_reservations(connection: AsyncConnection, orders: Sequence[str]) -> dict[ReservationKey, Reservation]:
    """Return the reservations of these orders, by order, line and warehouse."""
    rows = await select_in(connection, _RESERVATIONS, reservations.c.order_number, orders)
    return {
        (row.order_number, row.line, row.warehouse): Reservation(quantity=row.quantity, picked=row.picked)
        for row in rows
    }


_DELETE_RESERVATION = delete(reservations).where(
    reservations.c.order_number == bindparam("o"),
    reservations.c.line == bindparam("l"),
    reservations.c.warehouse == bindparam("w"),
)


async def save_reservations(uow: UnitOfWork, changed: Mapping[ReservationKey, Reservation]) -> None:
    """Write reservations; those with a quantity of 0 are deleted."""
    rows = [
        {"order_number": order, "line": line, "warehouse": warehouse, "quantity": held.quantity, "picked": held.picked}
        for (order, line, warehouse), held in sorted(changed.items(), key=itemgetter(0))
        if held.quantity
    ]
    gone = [{"o": order, "l": line, "w": place} for (order, line, place), held in changed.items() if not held.quantity]
    await upsert(uow.connection, reservations, rows)
    if gone:
        await uow.connection.execute(_DELETE_RESERVATION, gone)


def counted_level(stored: StockLevel | None, on_hand: Decimal, today: date) -> StockLevel:
    """Return the level after a count. If nothing was on hand before, `since` becomes today."""
    level = stored or StockLevel(on_hand=ZERO)
    return replace(level, on_hand=on_hand, since=level.since if level.on_hand > 0 and level.since else today)
