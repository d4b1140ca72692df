"""Which resync goes first, and that a worker which has lost its lease stores nothing of it any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import update

from connector.errors import ConnectorError
from connector.jobs import resync_loop
from connector.jobs.resync_loop import LEASE, ResyncLoop
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.resync import Priority, Resync, ResyncFilter, ResyncMode, ResyncState
from connector.store import customers, outbox_counts, resyncs
from connector.store.engine import Store
from connector.store.tables import leases
from tests.unit.store import samples

PATIENCE = 30


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """With the real time, and three customers who are not due."""
    opened = Store.open(database_url)
    async with opened.transaction() as uow:
        await customers.save(uow, [Customer(number=f"C-{number}", name="Name") for number in (1, 2, 3)])
    await samples.settle_everything(opened)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync_loop, "BATCH", 1)
    monkeypatch.setattr(resync_loop, "LOOK_SECONDS", 0.01)


class Org:
    """Compares, and tells what it compared; `meanwhile` happens during the first comparison."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        self.compared: list[str] = []
        self._meanwhile = meanwhile

    async def check_budget(self) -> None: ...

    async def take_in(self) -> None: ...

    async def compare(self, kind: EntityKind, keys: Sequence[str]) -> dict[str, int]:
        meanwhile, self._meanwhile = self._meanwhile, None
        self.compared += keys
        if meanwhile is not None:
            await meanwhile()
        return {"differing": 0}


async def ask(store: Store, *keys: str, mode: ResyncMode = ResyncMode.COMPARE, urgent: bool = False) -> Resync:
    priority = Priority.HIGH if urgent else Priority.LOW
    async with store.transaction() as uow:
        return await resyncs.create(
            uow, EntityKind.CUSTOMER, ResyncFilter(keys=keys), mode=mode, priority=priority, total=3, actor="ann"
        )


@asynccontextmanager
async def working(store: Store, org: Org) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(ResyncLoop(store, {"": org}, ttl=30).run(stop))
    try:
        async with asyncio.timeout(PATIENCE):
            yield task
    finally:
        stop.set()
        await asyncio.gather(task)


async def get(store: Store, resync: Resync) -> Resync:
    async with store.reader() as connection:
        found = await resyncs.get(connection, resync.id)
    assert found is not None
    return found


async def until(store: Store, resync: Resync, state: ResyncState) -> None:
    while True:
        if (await get(store, resync)).state is state:
            return
        await asyncio.sleep(0.01)


async def steal_lease(store: Store) -> None:
    """As another process does after this one was frozen for longer than its lease."""
    async with store.transaction() as uow:
        other = update(leases).where(leases.c.name == LEASE).values(owner="other:1:x", term=leases.c.term + 1)
        await uow.connection.execute(other)


async def test_urgent_resync_goes_before_the_rest_of_another_one(store: Store) -> None:
    urgent: list[Resync] = []

    async def ask_urgently() -> None:
        urgent.append(await ask(store, "C-3", urgent=True))

    org = Org(ask_urgently)
    first, second = await ask(store, "C-1", "C-2"), await ask(store)
    async with working(store, org):
        for resync in (first, second):
            await until(store, resync, ResyncState.DONE)
    assert org.compared == ["C-1", "C-3", "C-2", "C-1", "C-2", "C-3"]


async def test_batch_that_ends_after_the_lease_was_lost_is_not_recorded(store: Store) -> None:
    lost = asyncio.Event()

    async def lose() -> None:
        await steal_lease(store)
        lost.set()

    resync = await ask(store)
    async with working(store, Org(lose)):
        await lost.wait()
    assert (await get(store, resync)).position is None


async def test_error_after_the_lease_was_lost_is_not_recorded(store: Store) -> None:
    lost = asyncio.Event()

    async def fail() -> None:
        await steal_lease(store)
        lost.set()
        raise ConnectorError("The org has a bad day.")

    resync = await ask(store)
    async with working(store, Org(fail)):
        await lost.wait()
    assert (await get(store, resync)).error is None


async def test_no_batch_is_begun_after_the_lease_was_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = asyncio.Event()
    list_keys: Any = resync_loop.resync_selection.list_keys

    async def list_and_lose(*given: Any, **more: Any) -> Any:
        keys = await list_keys(*given, **more)
        await steal_lease(store)
        lost.set()
        return keys

    monkeypatch.setattr(resync_loop.resync_selection, "list_keys", list_and_lose)
    resync = await ask(store, mode=ResyncMode.PUSH)
    async with working(store, Org()):
        await lost.wait()
    assert (await get(store, resync)).state is ResyncState.WAITING
    async with store.reader() as connection:
        assert not any(sum(states.values()) for states in (await outbox_counts.counts(connection)).values())
