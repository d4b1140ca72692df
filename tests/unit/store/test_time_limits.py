"""How long PostgreSQL may take, to connect and for one statement; and that a database can be set to be read only."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import RetryClass, StoreError
from connector.settings import Settings
from connector.store import postgres_connection, schema
from connector.store.engine import Store
from connector.store.postgres_connection import TimeLimits
from tests.databases import Databases
from tests.postgres_connections import KEPT

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
SET = text("INSERT INTO counters (name, value) VALUES ('n', :n) ON CONFLICT (name) DO UPDATE SET value = :n")
LONGER = text("SELECT pg_sleep(0.2)")


async def write_beside(frozen: Store, other: Store) -> None:
    """Write a row, and stand still while another process wants to write it, too; then go on."""
    async with frozen.transaction() as uow:
        await uow.connection.execute(SET, {"n": 1})
        async with other.transaction() as another:  # waits for the lock until the database ends the first transaction
            await another.connection.execute(SET, {"n": 3})
        await uow.connection.execute(SET, {"n": 4})


async def test_statement_that_takes_too_long_is_stopped(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connection, "GRACE_SECONDS", 0.1)
    store = Store.open(databases.empty(), limits=TimeLimits(statement=0.05))
    told: list[StoreError | None] = []
    store.on_state = told.append
    with pytest.raises(StoreError, match="longer than CONNECTOR_DATABASE__STATEMENT_SECONDS") as stopped:
        async with store.reader() as connection:
            await connection.execute(LONGER)
    assert stopped.value.retry_class is RetryClass.TRANSIENT
    with pytest.raises(StoreError, match="longer than"):
        async with store.transaction() as uow:
            await uow.connection.execute(LONGER)
    async with store.snapshot() as connection:  # of a dry run
        await connection.execute(LONGER)
    assert set(told) == {None}  # a slow statement does not mean that the database is away
    await store.close()


async def test_database_that_is_set_to_be_read_only_is_not_written_to(databases: Databases) -> None:
    url = databases.migrated()
    store = Store.open(url)
    async with store.transaction() as uow:
        name = await uow.connection.scalar(text("SELECT current_database()"))
        await uow.connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    try:
        await store.close()
        KEPT.forget(name)  # it counts for new connections
        async with store.reader() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1
        with pytest.raises(StoreError, match="may not be written to"):
            async with store.transaction() as uow:
                await uow.connection.execute(SET, {"n": 1})
    finally:
        async with store.transaction() as uow:
            await uow.connection.execute(text("SET TRANSACTION READ WRITE"))
            await uow.connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
        await store.close()
        KEPT.forget(name)


async def test_server_that_falls_silent_is_given_up(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connection, "GRACE_SECONDS", 0.1)
    store = Store.open(databases.empty(), limits=TimeLimits(statement=0.2))
    own = text("SELECT pg_backend_pid()")
    frozen: list[int] = []

    async def freeze(connection: AsyncConnection) -> None:
        frozen.append((await connection.execute(own)).scalar_one())
        os.kill(frozen[-1], signal.SIGSTOP)

    async def read_from_frozen() -> None:
        async with store.reader() as connection:
            await freeze(connection)
            await connection.execute(own)

    try:
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="cannot be reached") as lost:
                await read_from_frozen()
            assert (lost.value.retry_class, lost.value.is_unavailable) == (RetryClass.TRANSIENT, True)
            async with store.reader() as connection:
                await connection.execute(own)
                await freeze(connection)
                with pytest.raises(DBAPIError):
                    await connection.rollback()
            async with store.reader() as connection:  # by another connection
                assert (await connection.execute(own)).scalar_one() not in frozen
    finally:
        for process in frozen:
            os.kill(process, signal.SIGCONT)
    await store.close()


async def test_process_that_stands_still_in_a_transaction_gives_up_its_locks(databases: Databases) -> None:
    url = databases.migrated()
    frozen, other = Store.open(url, limits=TimeLimits(idle=0.1)), Store.open(url)
    told: list[StoreError | None] = []
    frozen.on_state = told.append
    async with frozen.reader() as reading:
        await reading.execute(text("SELECT 1"))
        with pytest.raises(StoreError, match="stood still in the middle of a transaction") as ended:
            await write_beside(frozen, other)
        assert ended.value.retry_class is RetryClass.TRANSIENT
        await reading.execute(text("SELECT 1"))  # whoever only reads may take its time
    async with frozen.transaction() as uow:  # by another connection
        assert (await uow.connection.execute(text("SELECT value FROM counters WHERE name = 'n'"))).scalar() == 3
    async with frozen.snapshot() as connection:  # of a dry run
        assert (await connection.execute(text("SHOW idle_in_transaction_session_timeout"))).scalar() == "0"
    assert set(told) == {None}  # the database is there
    await frozen.close()
    await other.close()


async def test_upgrade_has_no_limit(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[object] = []

    def slowly(connection: Connection) -> None:
        slept.append(connection.execute(LONGER).scalar())

    store = Store.open(databases.empty(), limits=TimeLimits(statement=0.05))
    monkeypatch.setattr(schema, "_revision", slowly)
    await schema.upgrade(store)
    assert slept
    await store.close()


async def test_server_that_does_not_answer(databases: Databases) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://user@127.0.0.1:{silent.getsockname()[1]}/shop"
        settings = Settings.model_validate({"_env_file": None, "database_url": url, "database": {"connect_seconds": 2}})
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="cannot be reached"):
                async with schema.open_store(settings):
                    pass
