"""What the continuous push promises to those who ring for it."""

from __future__ import annotations

import asyncio

import pytest

from connector.jobs.push_loop import PushLoop
from connector.jobs.push_summary import PushSummary
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
