"""The newest migrations while other processes write: nothing that was accepted is lost, and everything goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from sqlalchemy import Connection, text

from connector.errors import StoreError
from connector.store import schema
from connector.store.engine import Store
from tests.conftest import ManualClock
from tests.databases import Databases

BEFORE = "0030"
"""What the migrations of a release begin with."""
AT = "2026-03-01T12:00:00.000000+00:00"
CUSTOMER = "INSERT INTO customers (number, name, version, updated_at) VALUES (:key, 'Name', 1, :at)"
ENTRY = "INSERT INTO journal (at, entity, key, action, detail) VALUES (:at, 'customer', :key, 'created', '{}')"


class Writer:
    """A process of the earlier release, which writes to two tables in each transaction."""

    def __init__(self, url: str, name: str) -> None:
        self.store = Store.open(url)
        self.name = name
        self.accepted: list[str] = []
        self.refused: list[StoreError] = []
        self.goal = 0
        self.reached = asyncio.Event()

    async def run(self) -> None:
        for number in count():
            key = f"{self.name}-{number}"
            at = AT if self.store.dialect == "sqlite" else AT.replace("T", " ")
            try:
                async with self.store.transaction() as uow:
                    for statement in (ENTRY, CUSTOMER) if number % 2 else (CUSTOMER, ENTRY):
                        await uow.connection.execute(text(statement), {"key": key, "at": at})
            except StoreError as error:
                self.refused.append(error)
            else:
                self.accepted.append(key)
                if len(self.accepted) >= self.goal:
                    self.reached.set()
            await asyncio.sleep(0)


@asynccontextmanager
async def writing(url: str, number: int) -> AsyncIterator[list[Writer]]:
    writers = [Writer(url, f"W{index}") for index in range(number)]
    tasks = [asyncio.create_task(writer.run()) for writer in writers]
    try:
        yield writers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            await writer.store.close()


async def until_each_has_written(writers: list[Writer], more: int) -> None:
    for writer in writers:
        writer.goal = len(writer.accepted) + more
        writer.reached.clear()
    for writer in writers:
        await writer.reached.wait()


def keys_of(connection: Connection) -> tuple[set[str], set[str]]:
    customers = connection.execute(text("SELECT number FROM customers")).scalars()
    entries = connection.execute(text("SELECT key FROM journal WHERE action = 'created'")).scalars()
    return set(customers), set(entries)


async def test_writers_lose_nothing_while_the_database_is_upgraded(databases: Databases) -> None:
    url = databases.migrated(BEFORE)
    store = Store.open(url)
    async with writing(url, 3) as writers:
        await until_each_has_written(writers, 10)
        await schema.upgrade(store)
        await until_each_has_written(writers, 10)
    assert await schema.current(store) == schema.HEAD
    async with store.reader() as connection:
        customers, entries = await connection.run_sync(keys_of)
    accepted = {key for writer in writers for key in writer.accepted}
    assert (customers == entries, accepted <= customers) == (True, True)
    assert [error.message for writer in writers for error in writer.refused] == []
    await store.close()


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
async def test_upgrade_gives_way_to_who_keeps_a_table_locked(
    databases: Databases, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In PostgreSQL. Everybody else would wait behind an upgrade that waits."""
    monkeypatch.setattr(schema, "_LOCK_MILLISECONDS", 20)
    url = databases.migrated(BEFORE)
    store, other = Store.open(url, clock=clock), Store.open(url)
    async with other.transaction() as uow:
        await uow.connection.execute(text(ENTRY), {"key": "C-1", "at": AT})
        with pytest.raises(StoreError, match="so it was not upgraded; nothing was changed"):
            await schema.upgrade(store)
        assert await schema.current(store) == BEFORE
        waiting = asyncio.create_task(schema.upgrade(store))
    await waiting
    assert await schema.current(store) == schema.HEAD
    async with store.reader() as connection:
        assert (await connection.run_sync(keys_of))[1] == {"C-1"}
    await store.close()
    await other.close()
