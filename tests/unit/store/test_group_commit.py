"""Group commit: works that share a transaction are each committed or rolled back as if they ran alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from connector.errors import StoreError
from connector.store.engine import Store
from connector.store.group_commit import MOST
from connector.store.unit_of_work import UnitOfWork

Work = Callable[[UnitOfWork], Awaitable[int]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'group.db'}")
    async with opened.transaction() as uow:
        await uow.connection.execute(text("CREATE TABLE items (number INTEGER PRIMARY KEY)"))
    yield opened
    await opened.close()


@pytest.fixture
def statements(store: Store) -> list[str]:
    """All statements sent to the database, with `COMMIT` and `ROLLBACK`."""
    seen: list[str] = []
    engine = store._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *call: seen.append(call[2].split()[0]))
    event.listen(engine, "commit", lambda _: seen.append("COMMIT"))
    event.listen(engine, "rollback", lambda _: seen.append("ROLLBACK"))
    return seen


def adds(number: int, *, then: Exception | None = None) -> Work:
    async def work(uow: UnitOfWork) -> int:
        await uow.connection.execute(text("INSERT INTO items VALUES (:number)"), {"number": number})
        if then is not None:
            raise then
        return number

    return work


async def numbers(store: Store) -> list[int]:
    async with store.reader() as connection:
        return list((await connection.execute(text("SELECT number FROM items ORDER BY number"))).scalars())


async def test_waiting_works_are_committed_together(store: Store, statements: list[str]) -> None:
    results = await asyncio.gather(*(store.transact(adds(number)) for number in range(8)))
    assert results == list(range(8))
    assert await numbers(store) == list(range(8))
    assert statements.count("COMMIT") == 1
    assert statements.count("SAVEPOINT") == 7  # the first needs none


async def test_more_works_than_the_limit_are_committed_in_several_transactions(
    store: Store, statements: list[str]
) -> None:
    await asyncio.gather(*(store.transact(adds(number)) for number in range(MOST + 1)))
    assert len(await numbers(store)) == MOST + 1
    assert statements.count("COMMIT") == 2


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_work_that_raises_is_rolled_back_and_its_neighbors_are_committed(store: Store, failing: int) -> None:
    works = [adds(number, then=ValueError("no") if number == failing else None) for number in range(3)]
    results = await asyncio.gather(*(store.transact(work) for work in works), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError if number == failing else int for number in range(3)]
    assert await numbers(store) == [number for number in range(3) if number != failing]


async def test_database_error_repeats_the_earlier_works_of_the_transaction(store: Store, statements: list[str]) -> None:
    broken = OperationalError("INSERT", {}, Exception("disk I/O error"))
    works = [adds(1), adds(2, then=broken), adds(3)]
    first, second, third = await asyncio.gather(*(store.transact(work) for work in works), return_exceptions=True)
    assert (first, third) == (1, 3)
    assert isinstance(second, StoreError)
    assert await numbers(store) == [1, 3]
    assert statements.count("INSERT") == 4  # the first one twice


@pytest.mark.parametrize("turns_it_into", [None, ValueError])
async def test_disk_that_fills_is_the_error_of_its_work_and_the_others_are_committed(
    store: Store, turns_it_into: type[Exception] | None
) -> None:
    """SQLite ends the transaction, with all its savepoints."""

    async def fills(uow: UnitOfWork) -> int:
        await uow.connection.execute(text("PRAGMA max_page_count = 20"))
        await uow.connection.execute(text("CREATE TABLE large (content)"))
        try:
            await uow.connection.execute(text("INSERT INTO large VALUES (zeroblob(200000))"))
        except OperationalError as error:
            raise error if turns_it_into is None else turns_it_into("no") from error
        return 2

    works = [adds(1), fills, adds(3)]
    first, second, third = await asyncio.gather(*(store.transact(work) for work in works), return_exceptions=True)
    assert (first, third) == (1, 3)
    assert isinstance(second, turns_it_into or StoreError)
    assert turns_it_into or str(second).startswith("The disk of the database is full.")
    assert await numbers(store) == [1, 3]


async def test_failed_commit_fails_every_work_of_the_transaction(store: Store) -> None:
    engine = store._engine.sync_engine

    def fails(_: object) -> None:
        event.remove(engine, "commit", fails)
        raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    event.listen(engine, "commit", fails)
    results = await asyncio.gather(store.transact(adds(1)), store.transact(adds(2)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreError, StoreError]
    assert await numbers(store) == []
    assert await store.transact(adds(3)) == 3


async def test_work_of_a_cancelled_caller_is_rolled_back_and_others_are_committed(store: Store) -> None:
    started, never = asyncio.Event(), asyncio.Event()

    async def waits(uow: UnitOfWork) -> int:
        await adds(1)(uow)
        started.set()
        await never.wait()
        return 1

    one = asyncio.create_task(store.transact(waits))
    other = asyncio.create_task(store.transact(adds(2)))
    await started.wait()
    one.cancel()
    assert await other == 2
    with pytest.raises(asyncio.CancelledError):
        await one
    assert await numbers(store) == [2]


async def test_work_whose_caller_is_cancelled_while_waiting_is_never_run(store: Store) -> None:
    async with store.transaction():
        first = asyncio.create_task(store.transact(adds(1)))
        second = asyncio.create_task(store.transact(adds(2)))
        await asyncio.sleep(0)
        second.cancel()
    assert await first == 1
    assert await numbers(store) == [1]


async def add_function(uow: UnitOfWork, function: Callable[[], int]) -> None:
    raw = await uow.connection.get_raw_connection()
    assert raw.driver_connection is not None
    await raw.driver_connection.create_function("wait", 0, function)


async def test_caller_cancelled_during_a_statement_does_not_affect_other_works(store: Store) -> None:
    entered, released = threading.Event(), threading.Event()

    def wait() -> int:
        entered.set()
        return int(released.wait(60))

    async def waits(uow: UnitOfWork) -> int:
        await add_function(uow, wait)
        await uow.connection.execute(text("WITH one AS (SELECT wait()) SELECT * FROM one"))  # no quick query
        return 2

    first = asyncio.create_task(store.transact(adds(1)))
    second = asyncio.create_task(store.transact(waits))
    third = asyncio.create_task(store.transact(adds(3)))
    assert await asyncio.to_thread(entered.wait, 60)
    second.cancel()
    await asyncio.sleep(0.3)
    released.set()
    assert (await first, await third) == (1, 3)
    with pytest.raises(asyncio.CancelledError):
        await second
    assert await numbers(store) == [1, 3]


async def test_work_that_raises_cancelled_error_cancels_its_own_caller_only(store: Store) -> None:
    async def gives_up(uow: UnitOfWork) -> int:
        raise asyncio.CancelledError

    one = asyncio.create_task(store.transact(gives_up))
    other = asyncio.create_task(store.transact(adds(2)))
    assert await other == 2
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_store_is_closed_after_the_transaction_of_a_work_that_failed(store: Store) -> None:
    assert store._group is not None
    with pytest.raises(ValueError, match="no"):
        await store.transact(adds(1, then=ValueError("no")))
    runner = store._group._runner
    assert runner is not None
    assert not runner.done()  # it rolls back
    await store.close()
    assert runner.done()
