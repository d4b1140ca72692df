"""Stock per product and warehouse, and what of it is reserved for which order line.

Whoever changes it locks the rows first, in key order; the schema's CHECK is the last word that nothing is oversold.
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


async def levels(connection: AsyncConnection, skus: Iterable[str], *, lock: bool = False) -> dict[StockKey, StockLevel]:
    """What there is of these products, by warehouse."""
    statement = select(stock).order_by(stock.c.sku, stock.c.warehouse)
    if lock:
        statement = statement.with_for_update()
    rows = await select_in(connection, statement, stock.c.sku, sorted(set(skus)))
    return {
        (row.sku, row.warehouse): StockLevel(on_hand=row.on_hand, reserved=row.reserved, since=row.since)
        for row in rows
    }


async def warehouses(connection: AsyncConnection) -> set[str]:
    """Where anything was ever counted."""
    return set(await connection.scalars(select(stock.c.warehouse).distinct()))


async def count(uow: UnitOfWork, counted: Mapping[StockKey, Decimal]) -> None:
    """Set what is on hand, as counted. CommandError where less is there than is reserved; nothing is set then."""
    known = await levels(uow.connection, [sku for sku, _ in counted], lock=True)
    for (sku, warehouse), on_hand in sorted(counted.items()):
        reserved = known.get((sku, warehouse), StockLevel(on_hand=ZERO)).reserved
        if not on_hand.is_finite() or on_hand < reserved:
            raise CommandError(
                f"Product {sku} in {warehouse} cannot have {on_hand} on hand: {plain(reserved)} is reserved.",
                hint="Take the reservations back first (deallocate).",
                field="on_hand",
                rule="reserved",
            )
    await put(uow, {place: arrived(known.get(place), counted[place], uow.now.date()) for place in counted})


async def begin(uow: UnitOfWork, places: Iterable[StockKey]) -> None:
    """Make sure that these places have a row that can be locked: two who count a new one then wait for each other."""
    rows = [{"sku": sku, "warehouse": place, "on_hand": ZERO, "reserved": ZERO} for sku, place in sorted(places)]
    if rows:
        await uow.connection.execute(insert(uow.connection, stock).on_conflict_do_nothing(), rows)


async def put(uow: UnitOfWork, changed: Mapping[StockKey, StockLevel]) -> None:
    """Write levels whose rows are locked by this transaction."""
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


async def reserved_for(connection: AsyncConnection, orders: Sequence[str]) -> dict[ReservationKey, Reservation]:
    """What is reserved for these orders, by order, line and warehouse."""
    rows = await select_in(connection, select(reservations), reservations.c.order_number, orders)
    return {
        (row.order_number, row.line, row.warehouse): Reservation(quantity=row.quantity, picked=row.picked)
        for row in rows
    }


async def keep(uow: UnitOfWork, changed: Mapping[ReservationKey, Reservation]) -> None:
    """Write reservations; those of 0 are gone."""
    kept = [
        {"order_number": order, "line": line, "warehouse": warehouse, "quantity": held.quantity, "picked": held.picked}
        for (order, line, warehouse), held in sorted(changed.items(), key=itemgetter(0))
        if held.quantity
    ]
    gone = [{"o": order, "l": line, "w": place} for (order, line, place), held in changed.items() if not held.quantity]
    await upsert(uow.connection, reservations, kept)
    if gone:
        row = reservations.c
        statement = delete(reservations).where(
            row.order_number == bindparam("o"), row.line == bindparam("l"), row.warehouse == bindparam("w")
        )
        await uow.connection.execute(statement, gone)


def arrived(known: StockLevel | None, on_hand: Decimal, today: date) -> StockLevel:
    """The level with `on_hand`; where nothing was left, what is there now has been there since today."""
    level = known or StockLevel(on_hand=ZERO)
    return replace(level, on_hand=on_hand, since=level.since if level.on_hand > 0 and level.since else today)
