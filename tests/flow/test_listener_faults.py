"""What fails in one part of the listener is tried again after a pause, and ends no other part."""

from __future__ import annotations

import asyncio

import pytest

from connector.clock import SystemClock
from connector.errors import LeaseLostError, RetryClass
from connector.jobs.listen import ListenJob
from connector.jobs.publish_events import PublishJob
from connector.model.events import PlaceHold
from connector.model.holds import Hold
from connector.salesforce.auth import TokenOwner
from connector.salesforce.pubsub.errors import SessionExpiredError
from connector.salesforce.pubsub.publishing import EventPublisher
from tests.flow.conftest import World
from tests.flow.pubsub import NUMBER, execute, press, running, stages, until
from tests.flow.test_actions import order, org, role, short_pauses, world  # noqa: F401 - fixtures


async def test_publisher_pauses_while_each_new_session_is_refused(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pub/Sub alone refuses the session: its user may have no right to it, while sign-ins succeed."""
    steps: list[str] = []
    publish, sign_in, sleep = EventPublisher.publish, TokenOwner._sign_in_blocking, SystemClock.sleep

    async def refused(self: EventPublisher, *arguments: object) -> object:
        steps.append("publish")
        if steps.count("publish") < 4:
            raise SessionExpiredError("the session is not valid", retry_class=RetryClass.AUTH)
        return await publish(self, *arguments)  # type: ignore[arg-type]

    def counted(self: TokenOwner) -> object:
        steps.append("sign in")
        return sign_in(self)

    async def noted(self: SystemClock, seconds: float) -> None:
        if seconds in {0.1, 0.2, 0.4}:
            steps.append(f"pause {seconds}")
        await sleep(self, seconds)

    monkeypatch.setattr(EventPublisher, "publish", refused)
    await world.service.client.connect()
    monkeypatch.setattr(TokenOwner, "_sign_in_blocking", counted)
    monkeypatch.setattr(SystemClock, "sleep", noted)
    await execute(world, PlaceHold(hold=Hold.CREDIT))
    async with running(PublishJob(world.service.inbound_context)):

        async def is_published() -> bool:
            return len(stages(world.org)) == 1

        await until(is_published)
    assert steps == [
        "publish", "sign in", "publish", "sign in", "pause 0.1", "publish", "sign in", "pause 0.2", "publish",
    ]  # fmt: skip


async def test_fault_of_the_publisher_leaves_actions_and_changes_alone(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults: list[str] = []
    publish = EventPublisher.publish

    async def failing(self: EventPublisher, *arguments: object) -> object:
        if len(faults) < 2:
            raise ValueError("a fault of ours")
        return await publish(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(EventPublisher, "publish", failing)
    monkeypatch.setattr(
        "connector.jobs.lease_job.log.exception", lambda event, **about: faults.append(about["subject"])
    )
    listener = role(world)
    actions = listener.actions
    assert actions is not None
    async with running(listener, lambda: actions.stats, lambda: listener.changes.stats):
        changes = listener.changes.stats
        press(world.org, NUMBER, "hold", Reason__c="credit")

        async def is_told() -> bool:
            return len(stages(world.org)) == 1

        await until(is_told)
        assert listener.changes.stats is changes  # it did not begin anew
        assert changes.subscribed
    assert faults == ["publisher of events"] * 2
    assert (await order(world)).hold_reason == "credit"


async def test_listener_pauses_when_another_process_took_over_a_poll(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[str] = []
    enough = asyncio.Event()

    async def lost(self: ListenJob) -> tuple[str, str]:
        steps.append("begin")
        if len(steps) > 4:
            enough.set()
        raise LeaseLostError("Another process polls Order now.")

    async def noted(_: SystemClock, seconds: float) -> None:
        steps.append(f"pause {seconds}")
        await asyncio.sleep(0)

    monkeypatch.setattr(ListenJob, "begin", lost)
    monkeypatch.setattr(SystemClock, "sleep", noted)
    async with running(ListenJob(world.service.inbound_context)):
        await enough.wait()
    assert steps[:4] == ["begin", "pause 0.1", "begin", "pause 0.1"]
