"""No connection to PostgreSQL stays open that belongs to nobody, wherever its reader is canceled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from sqlalchemy import text

from connector.store.engine import Store
from connector.store.silent_server import BoundedConnection
from tests.databases import Databases

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
OWN = text("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")


class CanceledAnswer:
    """Cancels whoever waits for the nth answer."""

    def __init__(self, nth: int) -> None:
        self.seen: set[BoundedConnection] = set()
        self._left = nth

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wait = BoundedConnection.wait

        async def counted(connection: BoundedConnection, *arguments: Any, **options: Any) -> Any:
            self.seen.add(connection)
            self._left -= 1
            if self._left == 0:
                raise asyncio.CancelledError
            return await wait(connection, *arguments, **options)

        monkeypatch.setattr(BoundedConnection, "wait", counted)

    @property
    def is_done(self) -> bool:
        return self._left <= 0


async def read(store: Store) -> Any:
    async with store.reader() as connection:
        return tuple((await connection.execute(OWN)).one())


@pytest.mark.parametrize("others", [0, 1])
async def test_reader_canceled_at_any_answer_leaves_no_connection(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """`others`: connections that are open and in use before."""
    url, canceled = databases.empty(), 0
    for nth in range(1, 19):
        store, answer = Store.open(url), CanceledAnswer(nth)
        async with AsyncExitStack() as in_use:
            for _ in range(others):
                await in_use.enter_async_context(store.reader())
            with monkeypatch.context() as patched, suppress(asyncio.CancelledError):
                answer.put(patched)
                await read(store)
        canceled += answer.is_done
        assert await read(store) == ("repeatable read", "on"), nth
        async with store.transaction() as uow:
            assert tuple((await uow.connection.execute(OWN)).one()) == ("read committed", "off"), nth
        await store.close()
        assert all(connection.closed for connection in answer.seen), nth
    assert canceled >= (5 if others else 11)


async def test_connection_that_comes_back_after_the_store_is_closed_is_closed(databases: Databases) -> None:
    store = Store.open(databases.empty())
    async with store.reader() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await store.close()
        assert not raw.closed
    assert raw.closed
