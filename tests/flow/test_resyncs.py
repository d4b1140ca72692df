"""Resyncs in the background: entities are sent, read or compared again, batch by batch, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from connector.errors import ConnectorError
from connector.jobs import resync, resync_loop
from connector.jobs.resync_loop import ResyncLoop
from connector.jobs.resync_request import change_resync, preview_resync, request_resync
from connector.model.change import EntityKind
from connector.model.resync import Priority, Resync, ResyncFilter, ResyncMode, ResyncState
from connector.process_roles import ResyncOrg
from connector.store import customers, orders, resyncs
from connector.store.tables import outbox
from tests.flow.conftest import World
from tests.flow.test_push import an_order

NUMBERS = [f"N-{number}" for number in range(1, 6)]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync_loop, "BATCH", 2)
    monkeypatch.setattr(resync_loop, "LOOK_SECONDS", 0.01)


@asynccontextmanager
async def working(world: World, *, pushing: bool = True) -> AsyncIterator[None]:
    """A worker, and the push that every worker has."""
    stop = asyncio.Event()
    loop = ResyncLoop(world.service.store, {"": ResyncOrg(world.service)}, ttl=30)
    tasks = [asyncio.create_task(loop.run(stop))]

    async def push() -> None:
        while not stop.is_set():
            await world.push()
            await asyncio.sleep(0.01)

    if pushing:
        tasks.append(asyncio.create_task(push()))
    try:
        async with asyncio.timeout(60):
            yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def ask(
    world: World, mode: ResyncMode = ResyncMode.PUSH, kind: EntityKind = EntityKind.ORDER, **chosen: object
) -> Resync:
    store, wanted = world.service.store, ResyncFilter(**chosen)  # type: ignore[arg-type]
    preview = await preview_resync(store, kind, wanted, mode, partitions=8)
    return await request_resync(store, preview, priority=Priority.LOW, actor="ann")


async def until(world: World, number: int, reached: Callable[[Resync], bool]) -> Resync:
    while True:
        async with world.service.store.reader() as connection:
            resync = await resyncs.get(connection, number)
        assert resync is not None
        if reached(resync):
            return resync
        await asyncio.sleep(0.01)


async def begin(world: World) -> None:
    await world.save([an_order(number, customer="C-1" if number < "N-4" else "C-2") for number in NUMBERS])
    await world.push()


async def spoil(world: World, numbers: list[str]) -> None:
    """Somebody changes our fields in the org."""
    for number in numbers:
        await world.change_in_org("Order", number, Lifecycle_Stage__c="placed")


async def stages(world: World) -> dict[str, str]:
    rows = await world.query("SELECT External_Key__c, Lifecycle_Stage__c FROM Order")
    return {row["External_Key__c"]: row["Lifecycle_Stage__c"] for row in rows}


async def test_named_orders_are_compared_with_the_org_and_sent_and_others_left_alone(world: World) -> None:
    await begin(world)
    before = await stages(world)
    await spoil(world, ["N-1", "N-3", "N-5"])
    asked = await ask(world, keys=("N-1", "N-2", "N-3"))
    assert asked.total == 3

    async with working(world):
        done = await until(world, asked.id, lambda item: item.ended)

    assert (done.state, done.done, done.failed) == (ResyncState.DONE, 3, 0)
    assert await stages(world) == before | {"N-5": "placed"}


async def test_unchanged_entities_cost_no_write(world: World) -> None:
    await begin(world)
    writes = world.service.client.calls_made.writes
    asked = await ask(world, customer="C-1")
    async with working(world):
        done = await until(world, asked.id, lambda item: item.ended)
    assert (done.state, done.total, done.done) == (ResyncState.DONE, 3, 3)
    await world.save([an_order("N-9")])
    assert (await ask(world, mapping_version=1)).total == 1  # the others were sent by that version
    assert world.service.client.calls_made.writes == writes


async def test_paused_resync_goes_on_where_it_was_and_a_canceled_one_does_not(world: World) -> None:
    await begin(world)
    store = world.service.store
    asked = await ask(world)
    async with working(world, pushing=False):  # nothing finishes a batch
        first = await until(world, asked.id, lambda item: item.reached is not None)
        await change_resync(store, asked.id, "pause", actor="ann")
    assert (first.done, first.reached, first.position) == (2, "N-2", None)
    async with working(world):
        await asyncio.sleep(0.1)
        paused = await until(world, asked.id, lambda item: True)
        assert (paused.state, paused.done) == (ResyncState.PAUSED, 2)
        await change_resync(store, asked.id, "resume", actor="ann")
        done = await until(world, asked.id, lambda item: item.ended)
        other = await ask(world)
        await change_resync(store, other.id, "cancel", actor="ann")
        await asyncio.sleep(0.1)
    assert (done.state, done.done, done.position) == (ResyncState.DONE, 5, "N-5")
    assert (await until(world, other.id, lambda item: True)).done == 0


async def test_another_process_takes_over_and_two_do_not_do_it_twice(world: World) -> None:
    await begin(world)
    asked = await ask(world)
    async with working(world, pushing=False):
        await until(world, asked.id, lambda item: item.reached == "N-2")
    async with working(world), working(world, pushing=False):
        done = await until(world, asked.id, lambda item: item.ended)
    assert (done.state, done.done, done.failed) == (ResyncState.DONE, 5, 0)


async def test_pull_takes_what_reps_changed_and_compare_only_counts(world: World) -> None:
    await begin(world)
    await world.change_in_org("Account", "C-1", Phone="+49 30 1")
    compared = await ask(world, ResyncMode.COMPARE, EntityKind.CUSTOMER)
    async with working(world, pushing=False):
        done = await until(world, compared.id, lambda item: item.ended)
        assert (done.state, done.failed, done.counts["differing"]) == (ResyncState.DONE, 1, 1)
        assert done.counts["verified"] == done.total - 1
        pulled = await ask(world, ResyncMode.PULL, EntityKind.CUSTOMER, keys=("C-1",))
        done = await until(world, pulled.id, lambda item: item.ended)
    assert (done.state, done.done, done.failed) == (ResyncState.DONE, 1, 0)
    async with world.service.store.reader() as connection:
        [customer] = await customers.load(connection, ["C-1"])
    assert customer.phone == "+49 30 1"


async def test_one_that_waits_or_fails_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await begin(world)
    stuck = await ask(world)  # nobody pushes
    compared = await ask(world, ResyncMode.COMPARE, EntityKind.CUSTOMER)
    async with working(world, pushing=False):
        done = await until(world, compared.id, lambda item: item.ended)
        assert done.state is ResyncState.DONE
        waiting = await until(world, stuck.id, lambda item: True)
        assert (waiting.state, waiting.done) == (ResyncState.RUNNING, 2)

        async def fail(*args: object) -> dict[str, int]:
            raise KeyError("a fault of ours")

        monkeypatch.setattr(ResyncOrg, "compare", fail)
        broken = await ask(world, ResyncMode.COMPARE, EntityKind.PRODUCT)
        failed = await until(world, broken.id, lambda item: item.ended)
        assert (failed.state, failed.error) == (ResyncState.FAILED, "KeyError: 'a fault of ours'")
        assert (await until(world, stuck.id, lambda item: True)).state is ResyncState.RUNNING


async def test_what_others_have_due_is_not_waited_for(world: World) -> None:
    await begin(world)
    async with world.service.store.transaction() as uow:  # between the keys of the batch
        await orders.save(uow, [an_order("N-2", notes="later")])
        await uow.connection.execute(
            update(outbox).where(outbox.c.key == "N-2").values(due_at=uow.now + timedelta(hours=5))
        )
    asked = await ask(world, keys=("N-1", "N-3"))
    async with working(world):
        done = await until(world, asked.id, lambda item: item.ended)
    assert (done.state, done.done, done.failed) == (ResyncState.DONE, 2, 0)


async def test_everything_with_an_error_is_sent_again_once_it_is_mended(world: World) -> None:
    await begin(world)
    store = world.service.store
    async with store.transaction() as uow:
        [customer] = await customers.load(uow.connection, ["C-2"])
        await customers.save(uow, [replace(customer, email="not an address")])
    await world.push()
    async with store.reader() as connection:
        from connector.store import dead_letters

        [refused] = await dead_letters.list_dead_letters(connection)
    asked = await ask(world, kind=EntityKind.CUSTOMER, error=refused.refusal.code)
    assert asked.total == 1
    async with working(world):
        done = await until(world, asked.id, lambda item: item.ended)
    assert (done.done, done.failed) == (1, 1)  # it is refused again: nobody has mended it


async def test_foreground_resync_that_fails_behind_what_it_made_due_is_kept_as_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise ConnectorError("The org is away.")

    await begin(world)
    monkeypatch.setattr(resync, "drop_links_of_deleted", fails)
    with pytest.raises(ConnectorError, match="away"):
        await world.resync(EntityKind.ORDER, "N-1", recreate=True)
    async with world.service.store.reader() as connection:
        [kept] = await resyncs.list_page(connection, limit=9)
    assert (kept.state, kept.done, kept.error) == (ResyncState.FAILED, 0, "The org is away.")
