"""Changes in the org arrive by their events, and none is lost when the stream fails."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import StrEnum

import pytest

from connector.cli.localorg import our_metadata
from connector.cli.status import _load_inbound
from connector.cli.status_remarks import inbound_remarks
from connector.cli.topic_text import obstacle_text
from connector.jobs.listen import ListenJob
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.model.deliveries import DeliveryUsage
from connector.service import Services, running_service
from connector.store import cursors, journal, leases, orders, orgs
from tests.flow.conftest import World, settings_for
from tests.flow.test_push import an_order

NUMBER = "N-1"
TOPIC = "/data/Connector__chn"


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as started:
        yield started


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.inbound.topic_listener.SETTLE_SECONDS", 0.2)
    monkeypatch.setattr("connector.inbound.topic_listener.FIRST_PAUSE", 0.1)


@pytest.fixture
async def world(org: LocalOrg, database_url: str) -> AsyncIterator[World]:
    settings = settings_for(org, database_url)
    salesforce = settings.salesforce.model_copy(update={"pubsub_endpoint": org.pubsub_endpoint})
    async with running_service(settings.model_copy(update={"salesforce": salesforce})) as service:
        started = World(org, service)
        await started.save([an_order(NUMBER)])
        await started.push()
        await service.pull()
        yield started


@asynccontextmanager
async def listening(service: Services) -> AsyncIterator[ListenJob]:
    job = ListenJob(service.inbound_context)
    task = asyncio.create_task(job.run())
    try:
        await until(lambda: is_subscribed(job))
        yield job
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def is_subscribed(job: ListenJob) -> bool:
    return job.stats.subscribed


async def notes_are(world: World, notes: str) -> bool:
    async with world.service.store.reader() as connection:
        [order] = await orders.load(connection, [NUMBER])
    return order.header.notes == notes


async def closed_gaps(world: World) -> int:
    async with world.service.store.reader() as connection:
        entries = await journal.read(connection, "topic", TOPIC)
    return sum(entry.action == "gap closed" for entry in entries)


async def test_change_in_the_org_arrives_by_its_event(world: World) -> None:
    async with listening(world.service) as job:
        await world.change_in_org("Order", NUMBER, Description="by event")
        await until(lambda: notes_are(world, "by event"))
        assert job.stats.events >= 1
        assert (await world.push()).writes == 0


async def test_broken_streams_lose_nothing(world: World) -> None:
    async with listening(world.service) as job:
        await world.change_in_org("Order", NUMBER, Description="first")
        await until(lambda: notes_are(world, "first"))
        world.org.org.faults.configure({"stream_break": 2})
        for notes in ("second", "third", "fourth"):
            await world.change_in_org("Order", NUMBER, Description=notes)
            await until(lambda notes=notes: notes_are(world, notes))  # type: ignore[misc]
        assert job.stats.reopened >= 2


async def test_changes_made_while_nobody_listened_arrive_from_the_stored_position(world: World) -> None:
    async with listening(world.service):
        await world.change_in_org("Order", NUMBER, Description="first")
        await until(lambda: notes_are(world, "first"))
    await world.change_in_org("Order", NUMBER, Description="meanwhile")
    job = ListenJob(world.service.inbound_context)
    task = asyncio.create_task(job.run())
    await until(lambda: notes_are(world, "meanwhile"))
    assert job.stats.gaps == 0
    assert job.stats.events >= 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_position_that_the_org_no_longer_knows_becomes_a_closed_gap(world: World) -> None:
    async with listening(world.service):
        await world.change_in_org("Order", NUMBER, Description="first")
        await until(lambda: notes_are(world, "first"))
    async with world.service.store.transaction() as uow:
        position = {"replay_id": base64.b64encode(b"not a position").decode(), "at": uow.now.isoformat()}
        await cursors.set_position(uow, world.service.client.org_id, f"events:{TOPIC}", position)
    await world.change_in_org("Order", NUMBER, Description="in the gap")

    async with listening(world.service) as job:
        await until(lambda: notes_are(world, "in the gap"))
        assert (job.stats.gaps, await closed_gaps(world)) == (1, 1)
        await world.change_in_org("Order", NUMBER, Description="after the gap")
        await until(lambda: notes_are(world, "after the gap"))


async def test_gap_event_makes_the_record_be_read(world: World) -> None:
    async with listening(world.service) as job:
        world.org.org.faults.configure({"event_gap": 1})
        await world.change_in_org("Order", NUMBER, Description="behind a gap event")
        await until(lambda: notes_are(world, "behind a gap event"))
        assert (job.stats.records, job.stats.gaps) == (1, 0)


async def test_event_of_an_unknown_kind_is_noted_and_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release of the org may know kinds of change that we do not."""
    async with listening(world.service) as job:
        monkeypatch.setattr("connector.salesforce.pubsub.events.ChangeType", NoKnownChangeType)
        await world.change_in_org("Order", NUMBER, Description="of an unknown kind")
        await until(lambda: notes_are(world, "of an unknown kind"))
        monkeypatch.undo()
        await world.change_in_org("Order", NUMBER, Description="of a known kind")
        await until(lambda: notes_are(world, "of a known kind"))
        assert (job.stats.unreadable >= 1, job.stats.reopened) == (True, 0)
    async with world.service.store.reader() as connection:
        actions = [entry.action for entry in await journal.read(connection, "topic", TOPIC)]
    assert "unreadable" in actions


class NoKnownChangeType(StrEnum):
    """No kind of change is known."""


async def test_error_of_the_transport_that_nobody_expects_ends_the_stream_and_not_the_listener(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that died unseen would leave the listener silent for ever."""
    async with listening(world.service) as job:
        with monkeypatch.context() as patch:
            patch.setattr("connector.salesforce.pubsub.subscription.PubSubClient.decode", fails)
            await world.change_in_org("Order", NUMBER, Description="first")
            await until(lambda: is_reopened(job))
        await until(lambda: notes_are(world, "first"))
        assert "RuntimeError" in job.stats.last_error


async def fails(*_: object) -> None:
    raise RuntimeError("of the library")


async def is_reopened(job: ListenJob) -> bool:
    return job.stats.reopened >= 1


async def test_session_that_ends_in_mid_stream_is_renewed(world: World) -> None:
    async with listening(world.service):
        await world.change_in_org("Order", NUMBER, Description="first")
        await until(lambda: notes_are(world, "first"))
        token = await world.service.client.tokens.token()
        world.org.org.auth.revoke(token.access_token)
        world.org.org.faults.configure({"stream_break": 1})
        rep = world.org.access_token
        assert rep != token.access_token
        await world.change_in_org("Order", NUMBER, Description="after the renewal")
        await until(lambda: notes_are(world, "after the renewal"))


async def test_second_listener_waits_and_takes_over_where_the_first_stood(world: World, org: LocalOrg) -> None:
    second = ListenJob(world.service.inbound_context)
    waiting: asyncio.Task[None] | None = None
    async with listening(world.service):
        waiting = asyncio.create_task(second.run())
        await world.change_in_org("Order", NUMBER, Description="to the first")
        await until(lambda: notes_are(world, "to the first"))
        assert second.stats.events == 0
    await world.change_in_org("Order", NUMBER, Description="to the second")
    await until(lambda: notes_are(world, "to the second"))
    assert second.stats.events >= 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_gap_is_closed_only_after_a_poll_of_our_own(world: World) -> None:
    """Another process that polls at the moment may have read before the subscription stood."""
    org_id, store = world.service.client.org_id, world.service.store
    async with store.transaction() as uow:
        await cursors.set_position(uow, org_id, f"events:{TOPIC}", {"replay_id": None, "at": uow.now.isoformat()})
    assert await leases.acquire(store, f"poll:{org_id}:Order", "another process", 2) is not None
    async with listening(world.service):
        assert await closed_gaps(world) == 1
        async with store.reader() as connection:
            assert await leases.list_free(connection, [f"poll:{org_id}:Order"], store.clock.now())


async def test_topic_that_the_org_does_not_know_is_polled_and_said_so(world: World) -> None:
    settings, modes, obstacles = world.service.settings, list[DeliveryUsage](), list[str]()
    unknown = settings.model_copy(update={"inbound": settings.inbound.model_copy(update={"topic": "/data/Nope__chn"})})
    job = ListenJob(
        replace(world.service.inbound_context, settings=unknown),
        on_mode=modes.append,
        on_obstacle=lambda topic, state: obstacles.append(obstacle_text(topic, state.why, state.fix)),
    )
    task = asyncio.create_task(job.run())

    async def is_told() -> bool:
        return bool(obstacles)

    try:
        await until(is_told)
        async with world.service.store.reader() as connection:
            known = await orgs.get_active(connection)
            status = await _load_inbound(connection, known, unknown, world.service.clock.now())
        summary = await world.service.pull()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    remarks = inbound_remarks(status)
    assert obstacles[0].startswith("/data/Nope__chn is polled, not listened to: ")
    assert "`connector org deploy`" in obstacles[0]
    assert (modes, summary.streamed) == ([], frozenset())
    assert [remark for remark in remarks if remark.startswith(obstacles[0])]
    assert not [remark for remark in remarks if "is streamed" in remark]
