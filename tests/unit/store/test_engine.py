"""Transactions, readers and errors are the same in both databases, and errors say what to do."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import exc, make_url, text
from sqlalchemy.exc import InternalError, ProgrammingError, StatementError

from connector.clock import SystemClock
from connector.errors import RetryClass, SettingsError, StoreError
from connector.store import customers, engine, orders, schema
from connector.store.db_errors import translate_errors
from connector.store.engine import Store
from connector.store.sql import Saved
from connector.store.tables import metadata
from tests.conftest import ManualClock
from tests.databases import Databases
from tests.unit.store.samples import ALFKI, BONAP, due_keys, order, pending, place, stock


@pytest.mark.parametrize(
    "url", ["", "orders.db", "mysql://root:hunter2@db/orders", "postgresql+asyncpg://me:hunter2@db/x", "://hunter2"]
)
def test_invalid_url_is_rejected_without_showing_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="CONNECTOR_DATABASE_URL") as caught:
        Store.open(url)
    assert "hunter2" not in str(caught.value)


async def test_store_address_hides_the_password() -> None:
    store = Store.open("postgresql://me:hunter2@db.example/orders")
    assert store.address == "postgresql://me:***@db.example/orders"
    await store.close()


async def test_temporary_database_is_deleted_when_closed() -> None:
    store = Store.open("sqlite://")
    file = make_url(store.address).database
    await store.migrate(metadata.create_all)
    await stock(store)
    await place(store, order())
    assert await due_keys(store) == ["10248"]
    await store.close()
    gone = Store.open(f"sqlite:///{file}")
    with pytest.raises(StoreError, match="cannot be opened"):
        await schema.check(gone)
    await gone.close()


async def test_file_that_may_not_be_read_is_told_from_a_missing_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def problem(path: Path) -> str:
        store = Store.open(f"sqlite:///{path}")
        with pytest.raises(StoreError) as caught:
            await schema.check(store)
        await store.close()
        return str(caught.value)

    assert "is a folder, and a file is needed." in await problem(tmp_path)
    # Root may read everything, so the driver says what it says to another user.
    (tmp_path / "shop.db").touch()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    refused = sqlite3.OperationalError("unable to open database file")
    with pytest.raises(StoreError) as caught, translate_errors(f"sqlite:///{tmp_path}/shop.db"):
        raise exc.OperationalError("", None, refused)
    assert str(caught.value) == (
        f"This user may not read the file of the database sqlite:///{tmp_path}/shop.db."
        " Correct the owner or the permissions of the file, or change CONNECTOR_DATABASE_URL."
    )
    assert "cannot be opened. Check that its folder exists" in await problem(tmp_path / "missing" / "shop.db")


async def test_store_tells_that_the_database_cannot_be_used_and_each_use_afterwards(tmp_path: Path) -> None:
    told: list[str | None] = []
    gone = Store.open(f"sqlite:///{tmp_path}/missing/shop.db")
    gone.on_state = lambda error: told.append(error and error.message)
    with pytest.raises(StoreError, match="cannot be opened"):
        await schema.check(gone)
    (tmp_path / "missing").mkdir()
    async with gone.reader() as connection:
        await connection.execute(text("SELECT 1"))
    await gone.close()
    assert told == [f"The database sqlite:///{tmp_path}/missing/shop.db cannot be opened.", None]


async def test_statement_that_is_refused_does_not_make_the_database_unavailable(store: Store) -> None:
    told: list[StoreError | None] = []
    store.on_state = told.append
    with pytest.raises(StoreError, match="no such table"):
        async with store.reader() as connection:
            await connection.execute(text("SELECT 1 FROM missing"))
    assert told == []


async def test_reader_sees_one_snapshot_and_does_not_block_writers(store: Store) -> None:
    await stock(store)
    async with store.reader() as connection:
        assert await orders.count(connection) == 0
        await place(store, order())
        assert await orders.count(connection) == 0
    async with store.reader() as connection:
        assert await orders.count(connection) == 1


async def test_single_reader_runs_one_statement_for_each_of_its_readers(store: Store) -> None:
    await stock(store)
    for reading in (store, store.for_org("emea"), store.for_org(None)):
        for _ in range(2):
            async with reading.single_reader() as connection:
                assert await customers.count(connection) == 2
        async with reading.single_reader() as connection:
            await customers.count(connection)
            with pytest.raises(RuntimeError, match="one statement"):
                await customers.count(connection)
        async with reading.single_reader() as connection:
            with pytest.raises(RuntimeError, match="only reads"):
                await connection.execute(text("DELETE FROM customers"))
    async with store.reader() as connection:
        assert await customers.count(connection) == await customers.count(connection)


async def test_single_reader_of_postgresql_is_in_no_transaction(postgres_store: Store) -> None:
    isolation = text("SELECT current_setting('transaction_isolation'), pg_current_xact_id_if_assigned() IS NULL")
    async with postgres_store.single_reader() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        assert (await connection.execute(isolation)).one() == ("read committed", True)
        assert raw.info.transaction_status is TransactionStatus.IDLE
    async with postgres_store.reader() as connection:
        assert (await connection.execute(isolation)).one() == ("repeatable read", True)


async def test_unknown_stage_is_rejected_by_the_schema(store: Store) -> None:
    await stock(store)
    await place(store, order())
    with pytest.raises(StoreError, match="refused a value") as caught:
        async with store.transaction() as uow:
            await uow.connection.execute(text("UPDATE orders SET stage = 'lost'"))
    assert caught.value.retry_class is RetryClass.DATA
    assert "Reims" not in str(caught.value)


async def test_unknown_state_of_a_change_is_rejected_by_the_schema(store: Store) -> None:
    await stock(store)
    await place(store, order())
    with pytest.raises(StoreError, match="refused a value"):
        async with store.transaction() as uow:
            await uow.connection.execute(text("UPDATE outbox SET state = 'sent'"))


async def test_concurrent_writers_of_the_same_orders_lose_no_change(databases: Databases) -> None:
    url = databases.migrated()
    stores = [Store.open(url), Store.open(url)]
    await stock(stores[0])

    async def save(store: Store, note: str) -> Saved:
        async with store.transaction() as uow:
            return await orders.save(uow, [order(str(number), notes=note) for number in range(50)])

    results = await asyncio.gather(save(stores[0], "one"), save(stores[1], "two"))
    total = results[0] + results[1]
    assert (total.created, total.updated, total.unchanged) == (50, 50, 0)
    async with stores[0].reader() as connection:
        saved = await orders.load(connection, [str(number) for number in range(50)])
    assert len({item.header.notes for item in saved}) == 1
    assert {item.version for item in saved} == {2}
    assert {len(item.lines) for item in saved} == {2}
    assert {change.version for change in await pending(stores[0])} == {2}
    for store in stores:
        await store.close()


async def test_many_concurrent_tasks_can_write(store: Store) -> None:
    await stock(store)
    await asyncio.gather(*(place(store, order(str(number))) for number in range(40)))
    assert len(await due_keys(store)) == 40


async def test_time_without_a_time_zone_is_rejected(store: Store) -> None:
    await stock(store)
    with pytest.raises(StatementError, match="has no time zone"):
        await place(store, order(placed_at=datetime(2026, 1, 1)))  # noqa: DTZ001 - what must not pass


@pytest.mark.parametrize("amount", ["NaN", "Infinity"])
async def test_amount_that_is_not_finite_is_rejected(store: Store, amount: str) -> None:
    await stock(store)
    with pytest.raises(StatementError, match="is not an amount"):
        await place(store, order(freight=Decimal(amount)))


async def test_unit_of_work_has_one_time(store: Store, clock: ManualClock) -> None:
    async with store.transaction() as uow:
        started = uow.now
        clock.advance(60)
        await customers.save(uow, [ALFKI, BONAP])
        assert uow.now == started


async def test_writer_waits_for_another_process_and_fails_after_the_limit(
    sqlite_databases: Databases, tmp_path: Path
) -> None:
    sqlite_databases.copy_template(tmp_path / "locked.db")
    url = make_url(f"sqlite+aiosqlite:///{tmp_path / 'locked.db'}")
    holder, waiter = Store(url, SystemClock()), Store(url, SystemClock(), busy_seconds=0.05)
    async with holder.transaction():
        with pytest.raises(StoreError, match=r"locked\.db is locked by another process") as caught:
            async with waiter.transaction():
                pass
        assert caught.value.retry_class is RetryClass.TRANSIENT
    async with waiter.transaction():
        pass
    await holder.close()
    await waiter.close()


async def test_writer_waits_past_the_busy_timeout_of_sqlite_for_another_process(
    sqlite_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_TRY_SECONDS", 0.01)
    sqlite_databases.copy_template(tmp_path / "slow.db")
    url = f"sqlite:///{tmp_path / 'slow.db'}"
    one, other = Store.open(url), Store.open(url)
    async with one.transaction():
        waiting = asyncio.create_task(place_customers(other))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
    await waiting
    await one.close()
    await other.close()


async def test_cancelled_writer_does_not_wait_for_another_process(sqlite_databases: Databases, tmp_path: Path) -> None:
    sqlite_databases.copy_template(tmp_path / "stopped.db")
    url = f"sqlite:///{tmp_path / 'stopped.db'}"
    one, other = Store.open(url), Store.open(url)
    async with one.transaction():
        waiting = asyncio.create_task(place_customers(other))
        await asyncio.wait({waiting}, timeout=0.1)
        began = time.monotonic()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert time.monotonic() - began < 5
    await place_customers(other)
    await one.close()
    await other.close()


async def test_writers_of_one_process_take_turns_without_a_time_limit(
    sqlite_databases: Databases, tmp_path: Path
) -> None:
    """The limit is only for other processes: here writers wait many times as long."""
    sqlite_databases.copy_template(tmp_path / "slow.db")
    url = make_url(f"sqlite+aiosqlite:///{tmp_path / 'slow.db'}")
    store = Store(url, SystemClock(), busy_seconds=0.001)
    turns: list[int] = []

    async def write(number: int) -> None:
        async with store.transaction() as uow:
            await customers.save(uow, [replace(ALFKI, name=f"Name {number}")])
            turns.append(number)
            await asyncio.sleep(0.02)

    await asyncio.gather(*(write(number) for number in range(10)))
    assert turns == list(range(10))
    await store.close()


async def place_customers(store: Store) -> None:
    async with store.transaction() as uow:
        await customers.save(uow, [ALFKI])


COUNT = text("INSERT INTO counters (name, value) VALUES ('teas', 1)")


async def test_commit_after_an_error_that_was_passed_over_fails(postgres_store: Store) -> None:
    """PostgreSQL would roll back and report nothing. SQLite goes on; for where it does not, see
    test_sqlite_connection.py."""
    reported: list[StoreError | None] = []
    postgres_store.on_state = reported.append

    async def pass_over() -> None:
        async with postgres_store.transaction() as uow:
            await uow.connection.execute(COUNT)
            with pytest.raises(ProgrammingError):
                await uow.connection.execute(text("SELECT nothing"))

    with pytest.raises(StoreError, match="ended a transaction after an error; nothing of it is stored") as caught:
        await pass_over()
    assert "bug in the connector" in caught.value.hint
    assert reported == []  # the database is well
    async with postgres_store.transaction() as uow:
        assert (await uow.connection.execute(COUNT)).rowcount == 1


async def test_commit_that_fails_leaves_the_connection_of_postgresql_to_its_next_user(postgres_store: Store) -> None:
    async with postgres_store._engine.connect() as connection:
        await connection.execute(COUNT)
        with pytest.raises(ProgrammingError):
            await connection.execute(text("SELECT nothing"))
        with pytest.raises(InternalError, match="ROLLBACK"):
            await connection.commit()
    async with postgres_store.transaction() as uow:
        assert (await uow.connection.execute(COUNT)).rowcount == 1


async def test_commit_fails_when_the_statement_before_it_fails_meanwhile(postgres_store: Store) -> None:
    async with postgres_store._engine.connect() as connection:
        await connection.execute(COUNT)
        raw: Any = (await connection.get_raw_connection()).driver_connection
        fails = asyncio.create_task(raw.execute("SELECT pg_sleep(0.02), 1 / extract(year FROM now() - now())::int"))
        while not raw.lock.locked():  # noqa: ASYNC110 -- psycopg sets no event
            await asyncio.sleep(0)
        with pytest.raises(InternalError, match="ROLLBACK"):
            await connection.commit()
        with pytest.raises(psycopg.errors.DivisionByZero):
            await fails


async def test_file_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/missing/connector.db")
    with pytest.raises(StoreError, match=r"missing/connector.db cannot be opened") as caught:
        await schema.check(store)
    assert "CONNECTOR_DATABASE_URL" in caught.value.hint
    await store.close()


async def test_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "letter.db").write_text("Dear customer, " * 100)
    store = Store.open(f"sqlite:///{tmp_path}/letter.db")
    with pytest.raises(StoreError, match=r"letter.db is not a usable database"):
        await schema.check(store)
    await store.close()


async def test_unreachable_server_is_reported(tmp_path: Path) -> None:
    store = Store.open(f"postgresql://me:hunter2@/orders?host={tmp_path}")
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        await schema.check(store)
    assert caught.value.retry_class is RetryClass.TRANSIENT
    assert "hunter2" not in str(caught.value)
    await store.close()


async def test_missing_database_on_the_server_is_reported(postgres_url: str) -> None:
    url = make_url(postgres_url).set(database="nowhere").render_as_string(hide_password=False)
    store = Store.open(url)
    with pytest.raises(StoreError, match=r"nowhere.* does not exist"):
        await schema.check(store)
    await store.close()
