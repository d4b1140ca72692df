"""What writes takes one turn of SQLite's thread for each statement; a quick query takes none."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import column, func, insert, inspect, select, table, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import StoreError
from connector.store import sqlite_connection
from connector.store.dry_run import DryRunStore
from connector.store.engine import Store
from connector.store.sqlite_connection import ThreadedConnection

TEAS = table("teas", column("id"), column("name"))
NAMES = select(TEAS.c.name).order_by(TEAS.c.id)
SLOW = text(
    "SELECT sum(n) FROM (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 90000) SELECT n FROM r)"
)
"""More than a million instructions of SQLite's virtual machine."""


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    store = Store.open(f"sqlite:///{tmp_path / 'teas.db'}")
    async with store.scratch() as opened:
        await opened.execute(text("CREATE TABLE teas (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"))
        yield opened
    await store.close()


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the thread was asked to do. However busy the machine is, queries are quick."""
    monkeypatch.setattr(sqlite_connection, "QUICK_SECONDS", 60.0)
    asked: list[str] = []
    execute = ThreadedConnection._execute

    async def counted(self: ThreadedConnection, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        asked.append(work.__name__)
        return await execute(self, work, *args, **options)

    monkeypatch.setattr(ThreadedConnection, "_execute", counted)
    return asked


async def test_each_statement_that_writes_takes_one_turn(connection: AsyncConnection, turns: list[str]) -> None:
    rows = [{"id": number, "name": f"Tea {number}"} for number in range(200)]
    assert (await connection.execute(insert(TEAS), rows)).rowcount == 200
    assert len(turns) == 1
    changed = await connection.execute(text("UPDATE teas SET name = name || '!' WHERE id < 2"))
    assert changed.rowcount == 2
    copied = await connection.execute(text("INSERT INTO teas (name) SELECT name || '?' FROM teas WHERE id < 2"))
    assert copied.rowcount == 2
    assert len(turns) == 3


async def test_insert_of_few_values_takes_no_turn(connection: AsyncConnection, turns: list[str]) -> None:
    rows = [{"id": number, "name": f"Tea {number}"} for number in range(3)]
    assert (await connection.execute(insert(TEAS), rows)).rowcount == 3
    returned = await connection.execute(text("INSERT INTO teas (name) VALUES ('Oolong') RETURNING id, name"))
    assert returned.mappings().all() == [{"id": 3, "name": "Oolong"}]
    assert turns == []


async def test_insert_that_might_not_fit_into_the_cache_takes_a_turn(
    connection: AsyncConnection, turns: list[str]
) -> None:
    """SQLite would write to the disk at once, and large values take their time."""
    await connection.execute(insert(TEAS), [{"id": 1, "name": "long" * 5000}])
    assert len(turns) == 1
    for number in range(2, 40):
        await connection.execute(insert(TEAS), [{"id": number, "name": f"Tea {number}"}])
    assert len(turns) == 1 + 39 - sqlite_connection._FEW_CHANGES


async def test_insert_without_the_lock_takes_a_turn(tmp_path: Path, turns: list[str]) -> None:
    """It may have to wait for it."""
    store = Store.open(f"sqlite:///{tmp_path / 'teas.db'}")
    async with store.transaction() as uow:
        await uow.connection.execute(text("CREATE TABLE teas (id INTEGER PRIMARY KEY)"))
    async with store.reader() as reader:
        turns.clear()
        await reader.execute(text("INSERT INTO teas (id) VALUES (1)"))
        assert len(turns) == 1
    await store.close()


@pytest.fixture
async def small_store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path / 'teas.db'}")
    async with store.transaction() as uow:
        await uow.connection.execute(text("CREATE TABLE teas (id INTEGER PRIMARY KEY, name TEXT)"))
    yield store
    await store.close()


async def fill_disk(connection: AsyncConnection, schema: str = "main") -> None:
    await connection.execute(text(f"PRAGMA {schema}.max_page_count = 20"))
    await connection.execute(insert(TEAS), [{"id": 2, "name": "x" * 200_000}])


async def stored(store: Store) -> Sequence[str]:
    async with store.reader() as reader:
        return (await reader.execute(NAMES)).scalars().all()


STREAMED = "INSERT INTO teas (id, name) VALUES (3, 'Oolong') RETURNING id"
FOLLOWING: dict[str, Callable[[AsyncConnection], Awaitable[Any]]] = {
    "quick insert": lambda connection: connection.execute(insert(TEAS), [{"id": 3, "name": "Oolong"}]),
    "insert": lambda connection: connection.execute(insert(TEAS), [{"id": 3, "name": "long" * 5000}]),
    "streamed insert": lambda connection: connection.stream(text(STREAMED)),
    "commit": lambda connection: connection.commit(),
}


@pytest.mark.parametrize("follow", [*FOLLOWING.values(), None], ids=[*FOLLOWING, "nothing"])
async def test_transaction_that_sqlite_ended_stores_nothing(
    small_store: Store, follow: Callable[[AsyncConnection], Awaitable[Any]] | None
) -> None:
    """Where somebody goes on after the error, neither what comes next nor the COMMIT may seem to succeed."""

    async def go_on() -> None:
        async with small_store.transaction() as uow:
            await uow.connection.execute(insert(TEAS), [{"id": 1, "name": "Sencha"}])
            with pytest.raises(OperationalError, match="full"):
                await fill_disk(uow.connection)
            if follow is not None:
                await follow(uow.connection)

    with pytest.raises(StoreError, match="ended a transaction after an error; nothing of it is stored"):
        await go_on()
    async with small_store.transaction() as uow:
        assert (await uow.connection.execute(NAMES)).all() == []
        await uow.connection.execute(insert(TEAS), [{"id": 1, "name": "Sencha"}])
    assert await stored(small_store) == ["Sencha"]


async def test_disk_that_fills_in_a_savepoint_is_the_error_of_its_transaction(small_store: Store) -> None:
    async def fill() -> None:
        async with small_store.transaction() as uow, uow.connection.begin_nested():
            await fill_disk(uow.connection)

    with pytest.raises(StoreError, match="The disk of the database is full"):
        await fill()
    assert await stored(small_store) == []


async def test_disk_that_fills_in_a_dry_run_is_its_error(small_store: Store) -> None:
    """A dry run writes temporary tables in the transaction of a reader. What follows would see another snapshot."""
    async with small_store.snapshot() as connection:
        await connection.execute(text("CREATE TEMPORARY TABLE teas (id INTEGER PRIMARY KEY, name TEXT)"))
        trial = DryRunStore(small_store, connection)
        with pytest.raises(StoreError, match="The disk of the database is full"):
            async with trial.transaction() as uow:
                await fill_disk(uow.connection, "temp")
        with pytest.raises(StoreError, match="ended a transaction"):
            async with trial.transaction() as uow:
                await uow.connection.execute(insert(TEAS), [{"id": 1, "name": "Sencha"}])


@pytest.mark.parametrize("ended", [True, False], ids=["ended by SQLite", "refused by SQLite"])
async def test_commit_that_fails_leaves_the_connection_to_its_next_user_as_new(small_store: Store, ended: bool) -> None:
    engine = small_store._engine
    async with small_store.transaction() as uow:
        await uow.connection.execute(text("CREATE TABLE cups (tea REFERENCES teas (id) DEFERRABLE INITIALLY DEFERRED)"))
    async with engine.connect() as connection:
        await connection.execute(insert(TEAS), [{"id": 1, "name": "Sencha"}])
        if ended:
            with pytest.raises(OperationalError, match="full"):
                await fill_disk(connection)
        else:
            await connection.execute(text("INSERT INTO cups VALUES (9)"))
        with pytest.raises((OperationalError, IntegrityError)):
            await connection.commit()
    assert engine.pool.status().startswith("Pool size: 5  Connections in pool: 1 ")
    assert await stored(small_store) == []
    async with small_store.transaction() as uow:
        await uow.connection.execute(insert(TEAS), [{"id": 1, "name": "Sencha"}])
    assert await stored(small_store) == ["Sencha"]


async def test_commit_fails_when_the_connection_was_closed_in_its_transaction(small_store: Store) -> None:
    async with small_store._engine.connect() as connection:
        await connection.execute(insert(TEAS), [{"id": 1, "name": "Sencha"}])
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await raw.close()
        with pytest.raises(OperationalError, match="ended the transaction"):
            await connection.commit()


async def test_commit_fails_when_the_statement_before_it_ends_the_transaction_meanwhile(small_store: Store) -> None:
    async with small_store._engine.connect() as connection:
        await connection.execute(insert(TEAS), [{"id": 1, "name": "Sencha"}])
        raw: Any = (await connection.get_raw_connection()).driver_connection
        fills = asyncio.create_task(fill_disk(connection))
        while raw.is_idle and not fills.done():  # noqa: ASYNC110 -- the connection sets no event
            await asyncio.sleep(0)
        with pytest.raises(OperationalError, match="ended the transaction"):
            await connection.commit()
        with pytest.raises(OperationalError, match="full"):
            await fills


async def test_quick_query_takes_no_turn_and_sees_what_its_transaction_wrote(
    connection: AsyncConnection, turns: list[str]
) -> None:
    await connection.execute(text("INSERT INTO teas (id, name) VALUES (1, 'Assam')"))
    turns.clear()
    assert (await connection.execute(NAMES)).scalars().all() == ["Assam"]
    columns = await connection.run_sync(lambda sync: inspect(sync).get_columns("teas"))
    assert [found["name"] for found in columns] == ["id", "name"]
    assert turns == []


async def test_slow_query_is_given_up_and_runs_in_the_thread(
    connection: AsyncConnection, turns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute(text("INSERT INTO teas (id, name) VALUES (1, 'Assam')"))
    turns.clear()
    await asyncio.sleep(0)  # the event loop has a turn
    monkeypatch.setattr(sqlite_connection, "QUICK_SECONDS", 1e-3)
    assert (await connection.execute(SLOW)).scalar() == 90000 * 90001 / 2
    assert len(turns) == 1
    assert (await connection.execute(NAMES)).scalars().all() == ["Assam"]  # the transaction goes on


async def test_event_loop_has_its_turn_when_many_queries_follow_each_other(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        monkeypatch.setattr(sqlite_connection, "QUICK_SECONDS", 60.0)
        await connection.execute(NAMES)
        assert ticks == 0
        monkeypatch.setattr(sqlite_connection, "QUICK_SECONDS", 1e-9)  # used up by the query before
        await connection.execute(NAMES)
        assert ticks > 0
        ticking.cancel()


async def test_time_between_queries_counts_until_the_event_loop_has_its_turn(
    connection: AsyncConnection, turns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.sleep(0)
    monkeypatch.setattr(sqlite_connection, "QUICK_SECONDS", 1.0)
    await connection.execute(NAMES)
    monkeypatch.setattr(sqlite_connection, "perf_counter", lambda: time.perf_counter() + 2)
    await connection.execute(NAMES)
    assert len(turns) == 1
    await connection.execute(NAMES)  # that turn was one of the event loop, too
    assert len(turns) == 1


async def test_count_of_a_table_takes_a_turn(connection: AsyncConnection, turns: list[str]) -> None:
    assert (await connection.execute(select(func.count()).select_from(TEAS))).scalar() == 0
    assert len(turns) == 1


async def test_reader_takes_no_turn_and_ends_its_snapshot(tmp_path: Path, turns: list[str]) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'teas.db'}")
    async with store.transaction() as uow:
        await uow.connection.execute(text("CREATE TABLE teas (id INTEGER PRIMARY KEY, name TEXT)"))
    async with store.reader() as reader:
        assert (await reader.execute(NAMES)).all() == []
        async with store.transaction() as uow:
            await uow.connection.execute(text("INSERT INTO teas (name) VALUES ('Assam')"))
        turns.clear()
        assert (await reader.execute(NAMES)).all() == []
    async with store.reader() as reader:
        assert (await reader.execute(NAMES)).all() == [("Assam",)]
    assert turns == []
    await store.close()


async def test_quick_query_that_fails_is_an_error_of_the_database(connection: AsyncConnection) -> None:
    with pytest.raises(OperationalError, match="decode"):
        await connection.execute(text("SELECT CAST(x'ff' AS TEXT)"))
    assert (await connection.execute(NAMES)).all() == []


async def test_connection_that_nobody_closes_keeps_no_process_from_ending(connection: AsyncConnection) -> None:
    raw: Any = (await connection.get_raw_connection()).driver_connection
    assert raw._thread.daemon


async def test_query_waits_for_a_canceled_statement_that_the_thread_still_runs(
    connection: AsyncConnection, turns: list[str]
) -> None:
    raw: Any = (await connection.get_raw_connection()).driver_connection
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go_on.wait(60)

    statement = asyncio.create_task(raw._execute(work))
    await asyncio.to_thread(begun.wait, 60)
    statement.cancel()
    turns.clear()
    query = asyncio.create_task(connection.execute(NAMES))
    done, _ = await asyncio.wait({query}, timeout=0.01)
    assert not done
    go_on.set()
    assert (await query).all() == []
    assert len(turns) == 1


async def test_what_sqlite_refuses_is_an_error_and_the_connection_goes_on(connection: AsyncConnection) -> None:
    with pytest.raises(OperationalError, match="no such table: coffees"):
        await connection.execute(text("SELECT * FROM coffees"))
    await connection.execute(text("INSERT INTO teas (id, name) VALUES (1, 'Assam')"))
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: teas\.name"):
        await connection.execute(insert(TEAS), [{"id": 2, "name": "Assam"}, {"id": 3, "name": "Darjeeling"}])
    assert (await connection.execute(select(TEAS.c.id).order_by(TEAS.c.id))).scalars().all() == [1]


async def test_a_streamed_result_is_fetched_part_by_part(connection: AsyncConnection, turns: list[str]) -> None:
    await connection.execute(insert(TEAS), [{"id": number, "name": f"Tea {number}"} for number in range(30)])
    turns.clear()
    result = await connection.stream(select(TEAS.c.id).order_by(TEAS.c.id).execution_options(yield_per=10))
    assert [row.id async for row in result] == list(range(30))
    assert "fetchmany" in turns
