"""Transactions that write several rows of the outbox take them in one order."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.store import outbox
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork
from tests.db_locks import blocked

_LOCK = "SELECT lane FROM outbox WHERE key = :key FOR UPDATE NOWAIT"


async def test_lane_of_products_is_raised_in_the_order_of_their_keys(postgres_store: Store) -> None:
    store = postgres_store

    async def raise_lane(uow: UnitOfWork) -> None:
        await uow.connection.execute(text("SET LOCAL enable_indexscan = off"))  # rows come as they lie in the table
        await outbox.raise_lane(uow, EntityKind.PRODUCT, ["B", "A"], Lane.NEW)

    for sku in ("B", "A"):
        async with store.transaction() as uow:
            uow.changed(EntityKind.PRODUCT, sku, 1)
    async with store.transaction() as first:
        await first.connection.execute(text(_LOCK), {"key": "A"})
        raising = asyncio.create_task(store.transact(raise_lane))
        await blocked(store, 1)
        await first.connection.execute(text(_LOCK), {"key": "B"})  # the other one does not hold it while it waits for A
    await raising
    async with store.reader() as connection:
        lanes = (await connection.execute(text("SELECT lane FROM outbox"))).scalars().all()
    assert lanes == [Lane.NEW.value] * 2
