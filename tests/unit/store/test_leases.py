"""Leases: one owner at a time, and an owner whose lease was lost cannot record anything."""

from __future__ import annotations

import asyncio

import pytest

from connector.errors import LeaseLostError
from connector.model.change import EntityKind
from connector.store import leases, outbox
from connector.store.engine import Store
from tests.conftest import ManualClock
from tests.unit.store.samples import due_keys, order, pending, place, stock

NAME = "outbound:3"


async def test_held_lease_is_refused_to_other_owners(store: Store) -> None:
    assert await leases.acquire(store, NAME, "a", 15) == 1
    assert await leases.acquire(store, NAME, "b", 15) is None
    assert await leases.acquire(store, "outbound:4", "b", 15) == 1


async def test_owner_that_acquires_again_keeps_its_term(store: Store, clock: ManualClock) -> None:
    assert await leases.acquire(store, NAME, "a", 15) == 1
    clock.advance(10)
    assert await leases.acquire(store, NAME, "a", 15) == 1
    clock.advance(10)
    assert await leases.acquire(store, NAME, "b", 15) is None


async def test_expired_lease_is_acquired_by_another_owner_under_a_new_term(store: Store, clock: ManualClock) -> None:
    assert await leases.acquire(store, NAME, "a", 15) == 1
    clock.advance(14.999)
    assert await leases.acquire(store, NAME, "b", 15) is None
    clock.advance(0.001)
    assert await leases.acquire(store, NAME, "b", 15) == 2
    assert not await leases.renew(store, "a", {NAME: 1}, 15)
    assert not await leases.release(store, NAME, "a", 1)
    assert await leases.acquire(store, NAME, "a", 15) is None


async def test_time_that_is_left_of_a_lease(store: Store, clock: ManualClock) -> None:
    async def left() -> float:
        async with store.reader() as connection:
            return await leases.seconds_left(connection, NAME, clock.now())

    assert await left() == 0
    await leases.acquire(store, NAME, "first", 30)
    clock.advance(10)
    assert await left() == 20
    clock.advance(30)
    assert await left() == 0


async def test_renewed_lease_expires_later(store: Store, clock: ManualClock) -> None:
    assert await leases.acquire(store, NAME, "a", 15) == 1
    clock.advance(10)
    assert await leases.renew(store, "a", {NAME: 1}, 15)
    clock.advance(10)
    assert await leases.acquire(store, NAME, "b", 15) is None


async def test_renewal_reports_a_lost_lease_and_regains_an_expired_one(store: Store, clock: ManualClock) -> None:
    for name in ("one", "two"):
        assert await leases.acquire(store, name, "a", 15) == 1
    clock.advance(20)
    assert await leases.renew(store, "a", {"one": 1, "two": 1}, 15)
    clock.advance(20)
    assert await leases.acquire(store, "two", "b", 15) == 2
    assert not await leases.renew(store, "a", {"one": 1, "two": 1}, 15)
    assert await leases.renew(store, "a", {"one": 1}, 15)
    assert not await leases.renew(store, "a", {"two": 2}, 15)


async def test_released_lease_is_free_at_once_and_its_term_is_not_reused(store: Store) -> None:
    assert await leases.acquire(store, NAME, "a", 15) == 1
    assert await leases.release(store, NAME, "a", 1)
    async with store.transaction() as uow:
        assert not await leases.is_held(uow, NAME, 1)
    assert await leases.acquire(store, NAME, "a", 15) == 2


async def test_one_of_many_concurrent_owners_acquires_the_lease(store: Store) -> None:
    terms = await asyncio.gather(*(leases.acquire(store, NAME, f"owner {number}", 15) for number in range(8)))
    assert sorted(term for term in terms if term is not None) == [1]


async def test_owner_paused_past_its_lease_records_nothing(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, order())
    mine = await leases.acquire(store, NAME, "frozen", 15)
    assert mine is not None
    taken = await pending(store)
    clock.advance(16)
    assert await leases.acquire(store, NAME, "rescuer", 15) == mine + 1

    async def record() -> None:
        async with store.transaction() as uow:
            await outbox.settle(uow, taken)
            if not await leases.is_held(uow, NAME, mine):
                raise LeaseLostError("The lease was lost.")

    with pytest.raises(LeaseLostError):
        await record()
    assert await due_keys(store, EntityKind.ORDER) == ["10248"]
    async with store.transaction() as uow:
        assert await leases.is_held(uow, NAME, mine + 1)
        assert not await leases.is_held(uow, "unheard of", 1)


async def test_lease_cannot_be_acquired_while_its_owner_records(store: Store, clock: ManualClock) -> None:
    await leases.acquire(store, NAME, "slow", 15)
    clock.advance(16)  # expired, and not acquired by anybody
    order_of_events: list[str] = []

    async def rescue() -> None:
        assert await leases.acquire(store, NAME, "rescuer", 15) == 2
        order_of_events.append("taken")

    async with store.transaction() as uow:
        assert await leases.is_held(uow, NAME, 1)
        rescuer = asyncio.create_task(rescue())
        done, _ = await asyncio.wait({rescuer}, timeout=0.2)
        assert not done
        order_of_events.append("recorded")
    await rescuer
    assert order_of_events == ["recorded", "taken"]
