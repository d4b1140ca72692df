"""Outages: one row and one pause for all processes."""

from __future__ import annotations

from connector.store import outages
from connector.store.engine import Store
from connector.store.outages import Outage
from tests.conftest import ManualClock


async def fail(store: Store, code: str = "HTTP_403", asked: float | None = None) -> Outage:
    async with store.transaction() as uow:
        return await outages.record_failure(uow, code=code, message="No.", fix="Do.", jitter=0.0, retry_after=asked)


async def test_pause_doubles_up_to_five_minutes_and_the_start_is_kept(store: Store, clock: ManualClock) -> None:
    began = clock.now()
    pauses = []
    for _ in range(11):
        found = await fail(store)
        pauses.append((found.next_attempt_at - clock.now()).total_seconds())
        clock.advance(pauses[-1])
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    async with store.reader() as connection:
        found_again = await outages.get_current(connection)
    assert found_again == found
    assert (found.since, found.attempts) == (began, 11)


async def test_requested_retry_time_is_used_up_to_an_hour(store: Store, clock: ManualClock) -> None:
    assert ((await fail(store, asked=90)).next_attempt_at - clock.now()).total_seconds() == 90
    assert ((await fail(store, asked=1e9)).next_attempt_at - clock.now()).total_seconds() == 3600


async def test_only_one_process_takes_the_turn_and_only_when_it_is_due(store: Store, clock: ManualClock) -> None:
    found = await fail(store)

    async def take() -> bool:
        async with store.transaction() as uow:
            return await outages.take_turn(uow, found, jitter=0.0)

    assert not await take()
    clock.advance(1)
    assert [await take(), await take(), await take()] == [True, False, False]


async def test_outage_is_ended_once(store: Store) -> None:
    await fail(store)
    async with store.transaction() as uow:
        assert [await outages.end(uow), await outages.end(uow)] == [True, False]
        assert await outages.get_current(uow.connection) is None


def test_jitter_reduces_the_pause_by_a_quarter_at_most() -> None:
    assert (outages.pause(10, jitter=0.0), outages.pause(10, jitter=0.99)) == (300, 300 * (1 - 0.99 / 4))
    assert outages.pause(10_000, jitter=0.0) == 300
