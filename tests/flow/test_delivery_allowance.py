"""The org's delivery allowance: a topic whose day would run out is polled, and streamed again when there is room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from connector.cli.delivery_text import delivery_text
from connector.cli.localorg import our_metadata
from connector.clock import SystemClock
from connector.jobs.listen import ListenJob
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.model.deliveries import DeliveryMode, DeliveryUsage
from connector.service import running_service
from connector.settings.inbound import InboundSettings
from connector.store import journal
from tests.flow.conftest import World, settings_for
from tests.flow.test_listen import TOPIC, notes_are, until
from tests.flow.test_push import an_order

NUMBER = "N-1"


@dataclass
class MovedClock(SystemClock):
    """The machine's clock, moved forward."""

    by: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return super().now() + self.by


@pytest.fixture
def moved() -> MovedClock:
    clock = MovedClock()
    clock.by = clock.now().replace(hour=23, minute=0) - clock.now()  # an hour before midnight
    return clock


@pytest.fixture
async def org(moved: MovedClock) -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata(), clock=moved.now), Ports(grpc=0)) as started:
        yield started


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.inbound.topic_listener.SETTLE_SECONDS", 0.2)
    monkeypatch.setattr("connector.jobs.listen.GUARD_SECONDS", 0.05)
    monkeypatch.setattr("connector.jobs.listen.MOST_SLEPT", 0.05)
    monkeypatch.setattr("connector.jobs.delivery_guard.CONFIRM_AFTER", timedelta())


@pytest.fixture
async def world(org: LocalOrg, database_url: str, moved: MovedClock) -> AsyncIterator[World]:
    settings = settings_for(org, database_url)
    salesforce = settings.salesforce.model_copy(update={"pubsub_endpoint": org.pubsub_endpoint})
    inbound = InboundSettings(delivery_reserve_percent=50).model_copy(update={"fastest_poll_seconds": 0.1})
    changes = {"salesforce": salesforce, "inbound": inbound}
    async with running_service(settings.model_copy(update=changes), clock=moved) as service:
        started = World(org, service)
        await started.save([an_order(NUMBER)])
        await started.push()
        await service.pull()
        yield started


async def change_and_see(world: World, notes: str) -> None:
    await world.change_in_org("Order", NUMBER, Description=notes)
    await until(lambda: notes_are(world, notes))


@pytest.mark.parametrize("refused", [False, True], ids=["reserve reached", "org refuses"])
async def test_topic_is_polled_until_there_is_room_again(world: World, moved: MovedClock, refused: bool) -> None:
    if not refused:
        world.org.org.hub.configure({"delivery_limit": 6})  # three but for the reserve
    usage, modes = world.org.org.usage, list[DeliveryUsage]()
    job = ListenJob(world.service.inbound_context, on_mode=modes.append)
    listening = asyncio.create_task(job.run())

    async def mode_is(mode: DeliveryMode) -> bool:
        streamed = mode is DeliveryMode.STREAM
        return job.usage is not None and job.usage.mode is mode and job.stats.subscribed is streamed

    try:
        await until(lambda: mode_is(DeliveryMode.STREAM))
        await change_and_see(world, "by event")
        if refused:
            world.org.org.faults.configure({"event_limit": 1})
            await world.change_in_org("Order", NUMBER, Description="refused")
        else:
            for notes in ("1", "2"):
                await change_and_see(world, notes)
        await until(lambda: mode_is(DeliveryMode.POLL))
        delivered = usage.delivered.used
        await change_and_see(world, "by poll")
        assert usage.delivered.used == delivered

        moved.by += timedelta(hours=25)  # past midnight, and nothing of the 24 hours before is left
        await until(lambda: mode_is(DeliveryMode.STREAM))
        await change_and_see(world, "by event again")
        assert usage.delivered.used >= 1
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert [item.mode.value for item in modes] == ["stream", "poll", "stream"]
    polled = modes[1]
    assert polled.resume_at is not None
    assert (polled.resume_at.hour, polled.resume_at - moved.now() < timedelta()) == (0, True)
    assert delivery_text(polled).startswith(f"{TOPIC} is polled until ")
    async with world.service.store.reader() as connection:
        actions = [entry.action for entry in await journal.read(connection, "topic", TOPIC)]
    assert actions == ["gap closed", "streamed", "polled"]
    [shown] = (await world.service.pull()).deliveries
    assert (shown.mode, shown.last_24_hours) == (DeliveryMode.STREAM, usage.delivered.used)
