"""What the continuous push promises to those who ring for it."""

from __future__ import annotations

import asyncio

import pytest

from connector.jobs import push_loop
from connector.jobs.push_loop import PushLoop
from connector.jobs.push_summary import PushSummary
from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.store.engine import Store


async def test_ring_returns_when_the_loop_has_ended_by_a_fault() -> None:
    store = Store.open("sqlite://")

    async def push(verify: bool) -> PushSummary:
        raise KeyError("a fault of ours")

    loop = PushLoop(store, push, worker="host:1", look_seconds=3600)
    waiting = asyncio.create_task(loop.ring())
    with pytest.raises(KeyError):
        await loop.run(asyncio.Event())
    async with asyncio.timeout(10):
        await waiting
        await loop.ring()
    await store.close()


async def test_urgent_change_does_not_wait_until_others_are_collected(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_loop, "LOOK_FOR_URGENT_SECONDS", 0.02)
    pushes = 0

    async def push(verify: bool) -> PushSummary:
        nonlocal pushes
        pushes += 1
        return PushSummary()

    async def capture(key: str, lane: Lane) -> None:
        async with store.transaction() as uow:
            uow.changed(EntityKind.ORDER, key, 1, lane)

    async def pushed(times: int) -> None:
        async with asyncio.timeout(30):
            while pushes < times:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    stop = asyncio.Event()
    loop = PushLoop(store, push, worker="host:1", look_seconds=3600, slow_down=lambda: 3600)
    running = asyncio.create_task(loop.run(stop))
    await pushed(1)
    await capture("N-1", Lane.STATUS)
    await asyncio.sleep(0.3)
    assert pushes == 1
    await capture("N-2", Lane.URGENT)
    await pushed(2)
    stop.set()
    await running


async def test_change_that_was_made_during_a_push_waits_no_longer_than_another_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_loop, "LINGER_SECONDS", 0.02)
    stop, lingered, first_of = asyncio.Event(), list[float](), push_loop._first_of
    pushes = 0

    async def noted(*events: asyncio.Event, seconds: float) -> None:
        if len(events) == 1:
            lingered.append(seconds)
        await first_of(*events, seconds=seconds)

    async def push(verify: bool) -> PushSummary:
        nonlocal pushes
        pushes += 1
        if pushes == 1:
            async with store.transaction() as uow:
                uow.changed(EntityKind.ORDER, "N-1", 1, Lane.STATUS)
            await asyncio.sleep(0.03)
        else:
            stop.set()
        return PushSummary()

    monkeypatch.setattr(push_loop, "_first_of", noted)
    async with asyncio.timeout(30):
        await PushLoop(store, push, worker="host:1", look_seconds=3600).run(stop)
    assert (pushes, lingered) == (2, [])
