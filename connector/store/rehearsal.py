"""A store on which everything can be done and nothing stays: one transaction, rolled back at the end.

SQLite has one writer, so others wait while it is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.engine import Store
from connector.store.unit import UnitOfWork


class RehearsalStore(Store):
    """Hands out savepoints of one transaction instead of transactions."""

    def __init__(self, store: Store, connection: AsyncConnection) -> None:
        self.clock = store.clock
        self.address = store.address
        self.dialect = store.dialect
        self._connection = connection
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UnitOfWork]:
        async with self._one_at_a_time, self._connection.begin_nested():
            unit = UnitOfWork(self._connection, self.clock.now())
            yield unit
            await unit.capture()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[AsyncConnection]:
        async with self._one_at_a_time:
            yield self._connection


@asynccontextmanager
async def rehearsal(store: Store) -> AsyncIterator[Store]:
    """A store that begins as `store` is, and leaves it so."""
    async with store.scratch() as connection:
        yield RehearsalStore(store, connection)
