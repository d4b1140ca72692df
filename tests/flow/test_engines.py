"""Both engines wake a worker: the same tests over embedded workers and over workers on procrastinate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from pydantic import SecretStr

from connector.errors import StoreError
from connector.jobs.push_loop import PushLoop
from connector.localorg.server import LocalOrg
from connector.model.change import EntityKind
from connector.service import Services, running_service
from connector.settings import Settings
from connector.settings.cluster import ClusterSettings, WorkerEngine
from connector.workers import cluster
from connector.workers.engine import Engine, choose_engine
from connector.workers.upgrade import upgrade_engine
from tests.conftest import require
from tests.databases import Databases
from tests.flow.conftest import Silent, World, settings_for
from tests.flow.test_push import an_order
from tests.pooler import PGBOUNCER, running_pooler

NEVER = 3600.0
"""Seconds between two looks: only the engine wakes a worker."""
LONGEST = 60.0


@pytest.fixture
def postgres(postgres_databases: Databases) -> Iterator[str]:
    yield postgres_databases.migrated()
    postgres_databases.drop_all()


@pytest.fixture(params=list(WorkerEngine))
async def settings(request: pytest.FixtureRequest, org: LocalOrg, postgres: str) -> Settings:
    made = settings_for(org, postgres).model_copy(update={"workers": request.param})
    await upgrade_engine(made)
    await upgrade_engine(made)
    return made


@dataclass
class Process:
    """One process of the service with the role worker, as `connector serve` puts it together."""

    service: Services
    engine: Engine
    pushes: int = 0

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        stop = asyncio.Event()

        async def push(verify: bool) -> object:
            self.pushes += 1
            return await self.service.push(Silent(), scheduled=True, verify=verify)

        loop = PushLoop(
            self.service.store,
            push,  # type: ignore[arg-type]
            worker="here:1",
            look_seconds=NEVER,
            wakes_on_capture=self.engine.wakes_on_capture,
        )
        running = asyncio.create_task(self.engine.run(loop, stop, ""))
        try:
            await until(lambda: _has_pushed(self))
            yield
        finally:
            stop.set()
            async with asyncio.timeout(LONGEST):
                await running


async def _has_pushed(process: Process) -> bool:
    return process.pushes > 0


@asynccontextmanager
async def process(settings: Settings) -> AsyncIterator[Process]:
    engine = choose_engine(settings)
    async with running_service(settings) as service, engine.ringing(service.store):
        yield Process(service, engine)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(LONGEST):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def no_job_is_left(settings: Settings) -> bool:
    async with await psycopg.AsyncConnection.connect(settings.database_url) as connection:
        query = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'drain'"
        return await (await connection.execute(query)).fetchone() == (0,)


async def sent(world: World) -> bool:
    return not any((await world.due()).values())


async def test_change_wakes_a_worker_and_is_sent(settings: Settings, org: LocalOrg) -> None:
    async with process(settings) as one:
        world = World(org, one.service)
        async with one.working():
            for number in range(3):
                await world.save([an_order("N-1", notes=f"Note {number}")])
                await until(lambda: sent(world))
                assert (await world.order("N-1"))["Description"] == f"Note {number}"
            if settings.workers is WorkerEngine.CLUSTER:
                await until(lambda: no_job_is_left(settings))
        assert one.pushes < 12  # not one for each partition that was rung


@pytest.fixture
async def clustered(org: LocalOrg, postgres: str) -> Settings:
    return settings_for(org, postgres).model_copy(update={"workers": WorkerEngine.CLUSTER})


async def test_change_of_one_process_wakes_the_worker_of_another_one(clustered: Settings, org: LocalOrg) -> None:
    with pytest.raises(StoreError, match="tables of procrastinate are absent") as refused:
        async with process(clustered):
            pass
    assert "connector db upgrade" in refused.value.hint
    await upgrade_engine(clustered)
    async with AsyncExitStack() as stack:
        ringing, first, second = [await stack.enter_async_context(process(clustered)) for _ in range(3)]
        await stack.enter_async_context(first.working())
        await stack.enter_async_context(second.working())
        world = World(org, ringing.service)  # has no worker of its own
        for number in range(4):
            await world.save([an_order(f"N-{number}")])
            await until(lambda: sent(world))
        assert await world.count("Order") == 4
        assert ringing.pushes == 0


async def test_job_of_a_worker_that_died_begins_again(
    clustered: Settings, org: LocalOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "STALLED_SECONDS", 1.0)
    await upgrade_engine(clustered)
    async with process(clustered) as one:
        world = World(org, one.service)
        await world.save([an_order("N-1")])
        with psycopg.connect(clustered.database_url, autocommit=True) as connection:

            async def rung() -> bool:
                row = connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'drain'").fetchone()
                return row is not None and row[0] > 1

            await until(rung)
            connection.execute(  # a worker took them all an hour ago, and died
                "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat)"
                " VALUES (now() - interval '1 hour') RETURNING id)"
                " UPDATE procrastinate_jobs SET status = 'doing', worker_id = dead.id FROM dead"
            )
            [(lock, queue), *others] = connection.execute(
                "SELECT lock, queue_name FROM procrastinate_jobs WHERE status = 'doing'"
            ).fetchall()
            assert others
            async with one.engine._opened("") as app:  # type: ignore[attr-defined]
                rung_again = app.configure_task("drain", queue=queue, lock=lock, queueing_lock=lock)
                await rung_again.defer_async(org=cluster.DEFAULT_ORG, partition=lock.rpartition(":")[2])
                await app.tasks["rescue"](timestamp=0)
            query = "SELECT status::text, count(*) - count(DISTINCT lock) FROM procrastinate_jobs GROUP BY 1"
            assert connection.execute(query).fetchall() == [("todo", 0)]
            async with one.working():
                await until(lambda: sent(world))
                await until(lambda: no_job_is_left(clustered))
    assert await world_count(org, clustered) == 1


async def test_service_starts_while_the_direct_address_is_away(
    clustered: Settings, org: LocalOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was captured meanwhile is rung when it is back."""
    monkeypatch.setattr(cluster, "OPENING_SECONDS", 0.05)
    await upgrade_engine(clustered)
    parts = psycopg.conninfo.conninfo_to_dict(clustered.database_url)
    socket = Path(str(parts["host"])) / f".s.PGSQL.{parts.get('port') or 5432}"
    if not socket.exists():
        pytest.skip("the server of TEST_DATABASE_URL has no socket here")
    with TemporaryDirectory() as folder:
        address = psycopg.conninfo.make_conninfo(clustered.database_url, host=folder)
        away = clustered.model_copy(update={"cluster": ClusterSettings(database_url=SecretStr(address))})
        async with process(clustered) as other, other.working(), process(away) as ringing:
            world = World(org, ringing.service)
            await world.save([an_order("N-1")])
            assert not await sent(world)
            (Path(folder) / socket.name).symlink_to(socket)
            await until(lambda: sent(world))


async def test_error_of_the_service_is_not_taken_for_one_of_the_database(clustered: Settings, org: LocalOrg) -> None:
    await upgrade_engine(clustered)
    with pytest.raises(FileNotFoundError):
        async with process(clustered):
            raise FileNotFoundError("template.html")


async def world_count(org: LocalOrg, settings: Settings) -> int:
    async with running_service(settings) as service:
        return await World(org, service).count("Order")


async def test_worker_goes_on_without_procrastinate_and_behind_a_pooler(
    clustered: Settings, org: LocalOrg, postgres_url: str
) -> None:
    """The store's address leads through a pooler, procrastinate's does not."""
    require(PGBOUNCER is not None, "PgBouncer")
    await upgrade_engine(clustered)
    name = psycopg.conninfo.conninfo_to_dict(clustered.database_url)
    with running_pooler(postgres_url) as port:
        pooled = clustered.model_copy(
            update={
                "database_url": f"postgresql://{name.get('user', 'postgres')}@127.0.0.1:{port}/{name['dbname']}",
                "cluster": ClusterSettings(database_url=SecretStr(clustered.database_url)),
            }
        )
        async with process(pooled) as one:
            world = World(org, one.service)
            async with one.working():
                await world.save([an_order("N-1")])
                await until(lambda: sent(world))
                with psycopg.connect(clustered.database_url, autocommit=True) as connection:
                    connection.execute(  # as a restart of the database does
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                        " AND query LIKE '%procrastinate%'"
                    )
                with suppress(StoreError):
                    await world.save([an_order("N-2")])
                await until(lambda: sent(world))
            assert (await world.due()).get(EntityKind.ORDER, 0) == 0
            assert await world.count("Order") == 2
