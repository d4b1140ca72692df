"""New stages and holds of orders are published to the org, in their sequence and at least once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from connector.cli.localorg import our_metadata
from connector.jobs.listen import ListenerRole
from connector.jobs.publish_events import PublishJob
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.model.events import Capture, Confirm, IssueInvoice, PlaceHold, ReleaseHold, Verify
from connector.model.holds import Hold
from connector.model.outgoing_event import OutgoingState
from connector.model.platform_event import ORDER_STATUS
from connector.service import running_service
from connector.settings.events import EventSettings
from connector.store import journal, outgoing_events
from tests.flow.conftest import World
from tests.flow.pubsub import (
    NUMBER,
    READY,
    SHIPPED,
    execute,
    listening_settings,
    published,
    running,
    shorten_pauses,
    stages,
    until,
    world_with_two_orders,
)
from tests.flow.test_push import an_order


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as started:
        yield started


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch)


@pytest.fixture
async def world(org: LocalOrg, database_url: str) -> AsyncIterator[World]:
    async with world_with_two_orders(org, database_url) as started:
        yield started


async def test_stages_and_holds_are_published_in_their_sequence(world: World) -> None:
    await execute(world, PlaceHold(hold=Hold.CREDIT), PlaceHold(hold=Hold.FRAUD), ReleaseHold(hold=Hold.CREDIT))
    await execute(world, ReleaseHold(hold=Hold.FRAUD), Verify(), Confirm())
    await execute(world, IssueInvoice(), number=SHIPPED)  # neither a stage nor a hold
    await execute(world, Capture(), number=SHIPPED)
    job = PublishJob(world.service.inbound_context)
    world.org.org.faults.configure({"publish_failure": 1})
    calls = world.org.org.usage.calls
    async with running(job):

        async def complete() -> bool:
            return len(published(world.org, ORDER_STATUS)) == 7

        await until(complete)
    assert [item[1:] for item in stages(world.org) if item[0] == NUMBER] == [
        ("placed", "placed", "credit"),
        ("placed", "placed", "credit, fraud"),
        ("placed", "placed", "fraud"),
        ("placed", "placed", None),
        ("placed", "verified", None),
        ("verified", "confirmed", None),
    ]
    ids = [item["Event_ID__c"] for item in published(world.org, ORDER_STATUS)]
    assert sorted(ids) == ["N-1:2", "N-1:3", "N-1:4", "N-1:5", "N-1:6", "N-1:7", "N-2:4"]
    assert world.org.org.usage.calls == calls  # the Pub/Sub API costs no API request
    assert job.stats.postponed == 1


async def test_limit_of_the_hour_pauses_and_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await execute(world, PlaceHold(hold=Hold.CREDIT))
    monkeypatch.setattr("connector.localorg.events.hub.MAX_PUBLISHED_PER_HOUR", 0)
    job = PublishJob(world.service.inbound_context)
    async with running(job):

        async def tried() -> bool:
            return job.stats.calls >= 3

        await until(tried)
        assert (job.stats.postponed, job.stats.refused, stages(world.org)) == (0, 0, [])
        monkeypatch.undo()

        async def complete() -> bool:
            return len(stages(world.org)) == 1

        await until(complete)


async def test_event_that_the_org_always_refuses_is_given_up_and_can_be_replayed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.jobs.publish_events.MAX_ATTEMPTS", 2)
    await execute(world, PlaceHold(hold=Hold.CREDIT), ReleaseHold(hold=Hold.CREDIT))
    world.org.org.faults.configure({"publish_failure": 2})
    job = PublishJob(world.service.inbound_context)
    async with running(job):

        async def published_one() -> bool:
            return len(stages(world.org)) == 1

        await until(published_one)
        assert stages(world.org) == [(NUMBER, "placed", "placed", None)]
        async with world.service.store.reader() as connection:
            [refused] = await outgoing_events.list_refused(connection)
        assert (refused.event.id, refused.attempts, refused.error) == (
            "N-1:2", 2, "The event could not be published. Try again.",
        )  # fmt: skip
        async with world.service.store.transaction() as uow:
            assert await outgoing_events.replay(uow, actor="ann@cli") == 1
            [entry] = await journal.read(uow.connection, "event", "refused")
            assert (entry.action, entry.actor, entry.detail) == ("replayed", "ann@cli", {"count": 1})

        async def published_both() -> bool:
            return len(stages(world.org)) == 2

        await until(published_both)


async def test_nothing_is_captured_if_the_setting_is_off(org: LocalOrg, database_url: str) -> None:
    settings = listening_settings(org, database_url, events=EventSettings(actions=False, order_status=False))
    async with running_service(settings) as service:
        world = World(org, service)
        await world.save([an_order(NUMBER, **READY)])
        await execute(world, PlaceHold(hold=Hold.CREDIT))
        assert ListenerRole(service.inbound_context).actions is None
        async with service.store.reader() as connection:
            assert (await outgoing_events.counts(connection))[OutgoingState.DUE] == 0
