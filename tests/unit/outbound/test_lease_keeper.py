"""Workers divide the partitions equally by leases, and the leases of a dead worker expire."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import pytest

from connector.model.worker import Worker
from connector.outbound.lease_keeper import WANTED, WORKER, LeaseKeeper, lease_name
from connector.store import leases, workers
from connector.store.engine import Store
from tests.conftest import ManualClock

NAMES = [lease_name(number) for number in range(8)]
TTL = 15.0


class Quiet(LeaseKeeper):
    """A lease keeper with its own seat in this process and without the background task, which uses another clock."""

    def __init__(self, store: Store, seat: str, *, partitions: int = 8, returns: bool = False) -> None:
        super().__init__(store, partitions=partitions, ttl=TTL, clock=store.clock, more_pushes_follow=returns)
        self.seat, self.owner = seat, f"{seat}:push"

    async def _renew_until_stopped(self) -> None:
        await self._stopping.wait()


async def held(store: Store, prefix: str = leases.PARTITION) -> list[str]:
    async with store.reader() as connection:
        return sorted(await leases.list_held(connection, prefix, store.clock.now()))


async def test_lone_worker_takes_everything_and_leaves_nothing_behind(store: Store) -> None:
    async with Quiet(store, "a") as worker:
        assert await worker.acquire(NAMES) == NAMES
        assert await held(store) == NAMES
    assert await held(store) == []
    assert await held(store, WORKER) == []


async def test_three_workers_take_an_equal_part_each(store: Store) -> None:
    async with Quiet(store, "a") as a, Quiet(store, "b") as b, Quiet(store, "c") as c:
        parts: list[Sequence[str]] = [await worker.acquire(NAMES) for worker in (a, b, c)]
        assert [len(part) for part in parts] == [3, 3, 2]
        assert sorted(name for part in parts for name in part) == NAMES


async def test_service_that_has_not_begun_yet_is_left_its_share_of_a_large_backlog(store: Store) -> None:
    now = store.clock.now()
    async with store.transaction() as uow:
        for pid, role in ((1, "worker"), (2, "worker"), (3, "api")):
            alive = Worker(
                id=f"there:{pid}", host="there", pid=pid, roles=(role,), engine="embedded", started_at=now, seen_at=now,
                alive=True,
            )  # fmt: skip
            await workers.report(uow, alive, ttl=TTL)
    async with Quiet(store, "there:1:a") as first:
        assert len(await first.acquire(NAMES, worth=1)) == 8
    async with Quiet(store, "there:1:a") as first:
        assert len(await first.acquire(NAMES, worth=5)) == 4
        async with Quiet(store, "there:2:b") as second:
            assert len(await second.acquire(NAMES, worth=5)) == 4


async def test_each_worker_gets_some_of_the_partitions_with_most_to_do(store: Store) -> None:
    names = [lease_name(number) for number in range(16)]  # the first one has most to do
    async with AsyncExitStack() as stack:
        three = [await stack.enter_async_context(Quiet(store, seat, partitions=16)) for seat in "abc"]
        parts = [await worker.acquire(names) for worker in three]
    sums = [sum(16 - names.index(name) for name in part) for part in parts]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert max(sums) <= 0.6 * (max(sums) + min(sums))


async def test_workers_that_choose_at_once_take_different_partitions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_owners = leases.list_owners

    async def none_is_held(connection: Any, prefixes: Sequence[str], now: datetime) -> dict[str, str]:
        owners = await list_owners(connection, prefixes, now)
        return {name: owner for name, owner in owners.items() if name not in NAMES}

    async with Quiet(store, "a") as a, Quiet(store, "b") as b:
        monkeypatch.setattr(leases, "list_owners", none_is_held)  # both have looked before either of them acquires
        parts = [await a.acquire(NAMES), await b.acquire(NAMES)]
        assert [len(part) for part in parts] == [4, 4]


async def test_last_of_three_workers_gets_as_much_as_the_second(store: Store) -> None:
    names = [lease_name(number) for number in range(16)]
    async with AsyncExitStack() as stack:
        three = [await stack.enter_async_context(Quiet(store, seat, partitions=16)) for seat in "abc"]
        parts = [await worker.acquire(names) for worker in three]
    assert [len(part) for part in parts] == [6, 5, 5]


async def test_worker_gives_back_its_surplus_only_when_another_one_waits(store: Store) -> None:
    async with Quiet(store, "a") as a:
        await a.acquire(NAMES)
        mine, terms = set(range(8)), {name: a.held_leases[name] for name in NAMES}
        await a.yield_surplus(mine, terms, 8)
        assert len(mine) == 8
        async with Quiet(store, "b") as b:
            await a.yield_surplus(mine, terms, 8)
            assert len(mine) == 8  # b exists, but has not asked for partitions
            assert await b.acquire(NAMES) == []
            await a.yield_surplus(mine, terms, 8)
            assert mine == {0, 1, 2, 3}
            assert sorted(terms) == NAMES[:4]
            assert await b.acquire(NAMES) == NAMES[4:]
            await a.yield_surplus(mine, terms, 8)
            assert mine == {0, 1, 2, 3}


async def test_partitions_of_a_dead_worker_are_free_when_its_leases_end(store: Store, clock: ManualClock) -> None:
    dead = Quiet(store, "dead")
    await dead._acquire([f"{WORKER}dead", *NAMES])
    async with Quiet(store, "b") as b:
        clock.advance(TTL - 1)
        assert await b.acquire(NAMES) == []
        clock.advance(1)
        assert await b.acquire(NAMES) == NAMES
    assert not await dead.leases_valid()


async def test_service_that_found_nothing_free_is_waited_for_until_its_next_push(
    store: Store, clock: ManualClock
) -> None:
    async with Quiet(store, "a") as a:
        await a.acquire(NAMES)
        async with Quiet(store, "service", returns=True) as service:
            assert await service.acquire(NAMES) == []
        mine, terms = set(range(8)), {name: a.held_leases[name] for name in NAMES}
        await a.yield_surplus(mine, terms, 8)
        assert len(mine) == 4
        clock.advance(TTL)
        assert await a.renew()
        assert await held(store, WANTED) == []


async def test_worker_with_another_number_of_partitions_gets_none_while_others_are_at_work(store: Store) -> None:
    async with Quiet(store, "a") as a, Quiet(store, "b", partitions=16) as b:
        await a.acquire(NAMES[:1])
        assert await b.acquire([lease_name(12)]) == []
        assert b.partition_counts_differ
        await a.release(NAMES)
        assert await b.acquire([lease_name(12)]) == [lease_name(12)]
        assert not b.partition_counts_differ
        assert await a.acquire(NAMES) == []
        assert a.partition_counts_differ


async def test_rows_of_killed_workers_are_removed_after_an_hour(store: Store, clock: ManualClock) -> None:
    dead = Quiet(store, "dead")
    await dead._acquire([f"{WORKER}dead", f"{WANTED}dead", *NAMES])
    clock.advance(3700)
    async with Quiet(store, "b"):
        pass
    async with store.transaction() as uow:
        await uow.connection.execute(leases.leases.update().values(expires_at=clock.now()))
    clock.advance(-1)
    assert await held(store, "") == NAMES  # the rows of partitions stay, because terms must not repeat


@pytest.mark.parametrize("names", [[], NAMES])
async def test_release_of_a_lease_not_held_does_nothing(store: Store, names: list[str]) -> None:
    async with Quiet(store, "a") as a:
        await a.release(names)
        assert await held(store) == []
