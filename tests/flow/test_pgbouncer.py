"""PgBouncer in transaction mode before PostgreSQL: every transaction may get another session.

The real PgBouncer, over TCP. `.ci/run` installs it, and there its absence is a failure; elsewhere it skips the tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, select, text

from connector.demo.sample_orders import orders as sample_orders
from connector.errors import RetryClass, StoreError
from connector.localorg.server import LocalOrg
from connector.model.customer import Customer
from connector.model.stage import Stage
from connector.service import running_service
from connector.store import customers, schema, tables
from connector.store.database_info import read_database_info
from connector.store.dry_run import dry_run
from connector.store.engine import Store
from connector.store.postgres_connection import TimeLimits
from tests.conftest import require
from tests.databases import Databases
from tests.flow.conftest import CUSTOMERS, PRODUCTS, World, settings_for
from tests.order_builders import changed
from tests.pooler import PGBOUNCER, running_pooler
from tests.unit.store.test_time_limits import write_beside


@pytest.fixture(scope="module")
def pooler(postgres_url: str) -> Iterator[int]:
    """The port of a PgBouncer before the PostgreSQL of the tests; three sessions to each database."""
    require(PGBOUNCER is not None, "PgBouncer (package pgbouncer)")
    with running_pooler(postgres_url) as port:
        yield port


@pytest.fixture
def pooled_url(pooler: int, postgres_url: str, tmp_path: Path) -> Iterator[str]:
    """An empty database, behind the pooler."""
    databases = Databases(tmp_path, postgres_url)
    name = make_url(databases.empty()).database
    user = make_url(postgres_url).username or "postgres"
    yield f"postgresql://{user}@127.0.0.1:{pooler}/{name}"
    databases.close()


async def test_pushes_end_in_sync_when_every_transaction_gets_another_session(pooled_url: str, org: LocalOrg) -> None:
    store = Store.open(pooled_url)
    await schema.upgrade(store)
    await schema.upgrade(store)
    await store.close()
    settings = settings_for(org, pooled_url)
    async with running_service(settings) as first, running_service(settings) as second:
        worlds = [World(org, first), World(org, second)]
        made = [changed(item, stage=Stage.SHIPPED) for item in sample_orders(CUSTOMERS, PRODUCTS, count=8)]
        for number in range(3):
            notes = [changed(item, notes=f"Round {number}") for item in made]
            await worlds[0].save(notes)
            assert (await worlds[number % 2].push(dry_run=True)).writes > 0
            summaries = await asyncio.gather(*(world.push() for world in worlds))
            assert [summary.in_sync for summary in summaries] == [True, True]
        assert await worlds[0].count("Order") == 8
        assert (await worlds[1].order("SO-000001"))["Description"] == "Round 2"


async def test_concurrent_readers_and_writers_share_three_sessions(pooled_url: str) -> None:
    store = Store.open(pooled_url)
    await schema.upgrade(store)
    async with store.transaction() as uow:
        await customers.save(uow, CUSTOMERS)

    async def write(number: int) -> None:
        async with store.transaction() as uow:
            await customers.save(uow, [Customer(number=f"N-{number}", name="New")])

    async def read() -> int:
        async with store.reader() as connection, connection.stream(select(tables.customers)) as rows:
            return len([row async for row in rows])

    async def try_out() -> None:
        async with dry_run(store) as copy, copy.transaction() as uow:
            await customers.save(uow, [Customer(number="NEVER", name="Never")])

    found = await asyncio.gather(
        *(step for number in range(12) for step in (write(number), read(), try_out())),
    )
    assert (await read_database_info(store)).pooled
    async with store.reader() as connection:  # each transaction may be in a session that knows no limit
        assert (await connection.execute(text("SHOW statement_timeout"))).scalar() == "1min"
    async with store.single_reader() as connection:
        assert (await connection.execute(text("SELECT current_setting('statement_timeout')"))).scalar() == "1min"
    assert {number for number in found if number} <= set(range(len(CUSTOMERS), len(CUSTOMERS) + 13))
    async with store.reader() as connection:
        assert await customers.count(connection) == len(CUSTOMERS) + 12
    await store.close()


async def test_process_that_stands_still_in_a_transaction_gives_up_its_locks(pooled_url: str) -> None:
    frozen, other = Store.open(pooled_url, limits=TimeLimits(idle=0.1)), Store.open(pooled_url)
    await schema.upgrade(other)
    with pytest.raises(StoreError) as ended:  # the pooler says only that the connection is closed
        await write_beside(frozen, other)
    assert ended.value.retry_class is RetryClass.TRANSIENT
    async with frozen.transaction() as uow:
        assert (await uow.connection.execute(text("SELECT value FROM counters WHERE name = 'n'"))).scalar() == 3
    await frozen.close()
    await other.close()
