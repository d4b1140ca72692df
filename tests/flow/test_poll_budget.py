"""What is behind the first page of a poll waits for the API budget, and nothing urgent waits for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from connector.errors import ApiBudgetError
from connector.inbound import poll, topic_listener
from connector.jobs import api_budget
from connector.jobs import listen as listen_job
from connector.jobs.api_budget import within_budget
from connector.jobs.inbound_run import InboundRun
from connector.jobs.listen import ListenJob
from connector.jobs.pull_job import PullJob
from connector.model.lane import Lane
from connector.store import cursors, customers, orders
from tests.flow.conftest import World
from tests.flow.test_api_budget import change_as_rep, moved, org, others_call, world
from tests.flow.test_delivery_allowance import MovedClock
from tests.flow.test_listen import TOPIC, closed_gaps, until

__all__ = ["moved", "org", "world"]


async def notes_are(world: World, text: str) -> bool:
    async with world.service.store.reader() as connection:
        [order] = await orders.load(connection, ["S-1"])
    return order.header.notes == text


async def phone(world: World) -> str | None:
    async with world.service.store.reader() as connection:
        [customer] = await customers.load(connection, ["C-8"])
    return customer.phone


async def change_many(world: World, monkeypatch: pytest.MonkeyPatch) -> InboundRun:
    """The account that was changed last is behind the first page, whose lane pauses; so many calls are left that orders
    do not."""
    run = await InboundRun.begin(world.service.inbound_context)
    await run.poll()
    await world.change_in_org("Account", "C-8", Phone="behind")
    monkeypatch.setattr(poll, "PAGE", 3)
    monkeypatch.setattr(api_budget, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(listen_job, "PAUSE_SECONDS", 0.02)
    for _ in range(90):  # our share is large enough for the lanes above to go on
        await world.query("SELECT Id FROM Account LIMIT 1")
    await others_call(world, 18)
    return run


async def test_later_page_that_pauses_stops_nothing_urgent(
    world: World,
    moved: MovedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await change_many(world, monkeypatch)
    await change_as_rep(world, "S-1", "urgent")

    async with asyncio.timeout(20):
        reports = await within_budget(moved, lambda: Lane.STATUS, run.poll)
    paused = {report.sobject: report.paused is not None for report in reports}
    assert (paused["Account"], paused["Order"]) == (True, False)
    assert await notes_are(world, "urgent")  # though the accounts come first
    assert await phone(world) is None

    other = await InboundRun.begin(world.service.inbound_context)
    await change_as_rep(world, "S-1", "more")
    assert [report.sobject for report in await other.poll(["Order"])] == ["Order"]
    assert await notes_are(world, "more")
    assert "Account" in (left := await other.poll_everything())
    assert "Order" not in left

    job = PullJob(partial(world.service.pull, sobjects=["Account"]))
    async with asyncio.timeout(20):
        kept = [await job() for _ in range(3)]
    assert ("profile" in str(kept[0]["paused"]), kept[1:]) == (True, [{}, {}])
    with pytest.raises(ApiBudgetError, match="profile"):
        await world.service.pull()

    moved.by += timedelta(hours=25)
    assert await other.poll_everything(left) == ()
    assert await phone(world) == "behind"


async def test_gap_stays_open_until_every_page_is_read(
    world: World,
    moved: MovedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topic_listener, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(listen_job, "MOST_SLEPT", 0.05)
    store, usage = world.service.store, world.org.org.usage
    await change_many(world, monkeypatch)
    async with store.transaction() as uow:
        gap = {"replay_id": None, "at": uow.now.isoformat()}
        await cursors.set_position(uow, world.service.client.org_id, f"events:{TOPIC}", gap)
    await change_as_rep(world, "S-1", "in the gap")

    job = ListenJob(world.service.inbound_context)
    listening = asyncio.create_task(job.run())
    try:
        await until(lambda: notes_are(world, "in the gap"))
        await change_as_rep(world, "S-1", "while it is closed")
        calls = usage.calls
        moved.by += timedelta(seconds=world.service.settings.inbound.fastest_poll_seconds)
        await until(lambda: notes_are(world, "while it is closed"))
        await asyncio.sleep(0.2)  # it waits for the budget in vain, and makes no calls for that
        assert usage.calls - calls <= 2
        assert (await closed_gaps(world), job.stats.subscribed, await phone(world)) == (0, False, None)

        moved.by += timedelta(hours=25)

        async def is_closed() -> bool:
            return await closed_gaps(world) == 1

        await until(is_closed)
        assert await phone(world) == "behind"
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
