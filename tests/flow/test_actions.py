"""What a rep asks for in the org is done here and answered there, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from connector.cli.localorg import our_metadata
from connector.inbound.action_events import ActionEvents
from connector.inbound.topic_status import TopicStatus, TopicStatusKind, list_topics
from connector.jobs.listen import ACTION_TOPIC, ActionJob, ListenerRole
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.model.action_request import ActionRequest, ActionState
from connector.model.change import EntityKind
from connector.model.events import PlaceHold, ReleaseHold
from connector.model.holds import Hold
from connector.model.order import Order
from connector.model.outgoing_event import OutgoingState
from connector.model.platform_event import ORDER_ACTION_RESULT, ORDER_STATUS
from connector.model.stage import Stage
from connector.service import running_service
from connector.store import (
    change_notices,
    cursors,
    journal,
    leases,
    order_actions,
    order_history,
    orders,
    outgoing_events,
)
from tests.flow.conftest import World
from tests.flow.pubsub import (
    NUMBER,
    READY,
    SHIPPED,
    answers,
    execute,
    listening_settings,
    press,
    published,
    running,
    shorten_pauses,
    until,
    world_with_two_orders,
)
from tests.flow.test_push import an_order
from tests.flow.test_webhooks import webhook_settings


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


@pytest.fixture
async def bare_world(database_url: str) -> AsyncIterator[World]:
    async with (
        LocalOrg(OrgOptions(), Ports(grpc=0)) as bare,
        running_service(listening_settings(bare, database_url)) as service,
    ):
        started = World(bare, service)
        await started.save([an_order(NUMBER, **READY)])
        yield started


def role(world: World) -> ListenerRole:
    return ListenerRole(world.service.inbound_context)


async def answered(world: World, count: int) -> None:
    async def complete() -> bool:
        return len(answers(world.org)) >= count

    await until(complete)


async def order(world: World, number: str = NUMBER) -> Order:
    async with world.service.store.reader() as connection:
        [loaded] = await orders.load(connection, [number])
    return loaded


async def test_actions_of_a_rep_are_carried_out_and_answered(world: World) -> None:
    await world.push()
    listener = role(world)
    async with running(listener, lambda: listener.actions.stats):  # type: ignore[union-attr]
        press(world.org, NUMBER, "hold", Reason__c="credit", Requested_By__c="Anna", Request_ID__c="R-1")
        press(world.org, NUMBER, "hold", Reason__c="because")
        press(world.org, NUMBER, "hold")
        press(world.org, NUMBER, "release")
        press(world.org, NUMBER, "Release", Reason__c="Credit")
        press(world.org, NUMBER, "release")
        press(world.org, NUMBER, "priority", Service_Level__c="express")
        press(world.org, NUMBER, "priority")
        press(world.org, NUMBER, "cancel", Reason__c="customer changed his mind")
        press(world.org, NUMBER, "request_return")
        press(world.org, SHIPPED, "request_return", Reason__c="damaged")
        press(world.org, SHIPPED, "request_return", Reason__c="damaged")
        press(world.org, SHIPPED, "refresh")
        press(world.org, "N-99", "hold")
        press(world.org, "N-100", "explode")
        await answered(world, 15)
    assert answers(world.org, NUMBER) == [
        ("hold", True, "Order N-1 is on hold: credit."),
        (
            "hold", False,
            "Reason__c: 'because' is no hold reason; use payment, address, stock, fraud, credit or manual.",
        ),
        ("hold", True, "Order N-1 is on hold: credit, manual."),
        ("release", False, "Order N-1 has several holds: credit, manual. Name one of them as the reason."),
        ("Release", True, "The hold credit of order N-1 is released. It is still on hold: manual."),
        ("release", True, "Order N-1 is no longer on hold."),
        ("priority", True, "Order N-1 has the service level express and the priority 60."),
        ("priority", False, "Service_Level__c is required for priority: the new service level, as express."),
        ("cancel", True, "Order N-1 is canceled."),
        (
            "request_return", False,
            "Order N-1 is canceled: it cannot request a return now. That is possible while it is fulfilling, shipped,"
            " delivered or completed.",
        ),
    ]  # fmt: skip
    assert answers(world.org, SHIPPED) == [
        ("request_return", True, "Return N-2-RMA1 is requested: 12 of line 1, 3 of line 2."),
        (
            "request_return", False,
            "Order N-2 cannot request a return with 12 of line 1: nothing is left to return.",
        ),
        ("refresh", True, "Order N-2 is compared with Salesforce and sent now."),
    ]  # fmt: skip
    assert answers(world.org, "N-99") == [("hold", False, "There is no order N-99 here.")]
    assert answers(world.org, "N-100")[0][2] == (
        "Action__c: 'explode' is no action; use hold, release, cancel, priority, refresh or request_return."
    )
    first = published(world.org, ORDER_ACTION_RESULT)[0]
    [requested] = world.org.org.hub.bus.events_after(0, {ACTION_TOPIC}, 1)
    assert (first["Request_ID__c"], first["Request_Event_ID__c"]) == ("R-1", requested.uuid)
    canceled, delivered = await order(world), await order(world, SHIPPED)
    assert (canceled.stage, canceled.header.service_level, canceled.hold_reason) == (Stage.CANCELED, "express", None)
    assert delivered.state.returns[1].lines[1].requested == Decimal(12)
    async with world.service.store.reader() as connection:
        events = await order_history.read(connection, NUMBER)
        stored = await order_actions.counts(connection)
    assert events[1].event.note == "Requested in Salesforce by Anna."
    assert events[-2].event.note == "customer changed his mind – Requested in Salesforce."
    assert events[-1].actor == f"salesforce {world.org.org.auth.identity.user_id}"
    assert stored == {ActionState.ACCEPTED: 8, ActionState.REFUSED: 7, ActionState.PARKED: 0}
    assert (await world.due())[EntityKind.ORDER] == 2


async def test_refresh_restores_in_the_org_what_was_changed_there(world: World) -> None:
    await world.push()
    await world.change_in_org("Order", NUMBER, Lifecycle_Stage__c="confirmed")
    listener = role(world)
    async with running(listener, lambda: listener.actions.stats):  # type: ignore[union-attr]
        press(world.org, NUMBER, "refresh")
        await answered(world, 1)
    assert (await world.push()).in_sync
    [row] = await world.query(f"SELECT Lifecycle_Stage__c FROM Order WHERE External_Key__c = '{NUMBER}'")
    assert row["Lifecycle_Stage__c"] == "placed"


async def test_events_that_come_again_act_once(world: World) -> None:
    """The org delivers an event twice; then the position is lost, and another process reads everything again."""
    listener = role(world)
    async with running(listener, lambda: listener.actions.stats):  # type: ignore[union-attr]
        world.org.org.faults.configure({"event_duplicate": 1})
        press(world.org, NUMBER, "hold", Reason__c="credit", event_id="U-1")
        press(world.org, NUMBER, "release", event_id="U-2")
        await answered(world, 2)
    org_id = world.service.client.org_id
    async with world.service.store.transaction() as uow:
        position = {"replay_id": "bm8gcG9zaXRpb24=", "at": uow.now.isoformat()}
        await cursors.set_position(uow, org_id, f"events:{ACTION_TOPIC}", position)
    press(world.org, NUMBER, "cancel", event_id="U-3")

    other = role(world)
    async with running(other, lambda: other.actions.stats):  # type: ignore[union-attr]
        await answered(world, 3)
    assert [done for _, done, _ in answers(world.org)] == [True, True, True]
    async with world.service.store.reader() as connection:
        events = await order_history.read(connection, NUMBER)
        gaps = [entry.action for entry in await journal.read(connection, "topic", ACTION_TOPIC)]
        state = await cursors.get(connection, org_id, f"topic:{ACTION_TOPIC}")
    assert [entry.event.action.value for entry in events] == ["begin", "hold", "release", "cancel", "advance"]
    assert gaps == ["actions may be lost"]
    assert state is not None
    assert (state["activity"], state["gaps"]) == ("listening", 1)


async def test_actions_asked_for_while_nobody_listened_are_carried_out(world: World) -> None:
    """Also if the first listener ended before anything arrived; but not what is older than it."""
    hub, clock = world.org.org.hub, world.service.clock
    press(world.org, NUMBER, "cancel", CreatedDate=round(clock.now().timestamp() * 1000) - 3_600_000)
    listener = role(world)
    async with running(listener, lambda: listener.actions.stats):  # type: ignore[union-attr]
        pass
    press(world.org, NUMBER, "hold")
    later = role(world)
    async with running(later, lambda: later.actions.stats):  # type: ignore[union-attr]
        await answered(world, 1)
    assert [action for action, _, _ in answers(world.org)] == ["hold"]
    assert len(hub.bus.events_after(0, {ACTION_TOPIC}, 10)) == 2


async def test_poison_is_parked_and_stops_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = world.org.org.hub
    schema = hub.schema_for_topic(ACTION_TOPIC)
    assert schema is not None
    original = ActionEvents._execute

    async def failing(self: ActionEvents, request: ActionRequest, replay_id: bytes) -> None:
        if request.event_id == "U-1":
            raise KeyError("a fault of ours")
        await original(self, request, replay_id)

    monkeypatch.setattr(ActionEvents, "_execute", failing)
    monkeypatch.setattr("connector.inbound.action_events.log.exception", lambda *_, **__: None)
    listener = role(world)
    async with running(listener, lambda: listener.actions.stats):  # type: ignore[union-attr]
        hub.bus.publish(ACTION_TOPIC, [(schema.id, "U-0", b"\xff\xff no event")])
        press(world.org, SHIPPED, "hold", event_id="U-1")
        press(world.org, NUMBER, "hold", event_id="U-2")
        await answered(world, 2)
    assert sorted(done for _, done, _ in answers(world.org)) == [False, True]
    async with world.service.store.reader() as connection:
        parked = await order_actions.list_latest(connection, state=ActionState.PARKED)
        noted = [entry.action for entry in await journal.read(connection, "topic", ACTION_TOPIC)]
    assert sorted(item.request.event_id for item in parked) == ["U-0", "U-1"]
    assert noted == ["unreadable"]
    assert (await order(world)).hold_reason == "manual"


async def test_listener_without_its_topic_waits_and_says_why(bare_world: World) -> None:
    """An org without our metadata: actions wait, stages are discarded, the rest goes on."""
    listener = role(bare_world)
    await execute(bare_world, PlaceHold(hold=Hold.CREDIT))
    async with running(listener):
        org_id = await bare_world.service.client.connect()

        async def is_answered() -> bool:
            async with bare_world.service.store.reader() as connection:
                state = await cursors.get(connection, org_id, f"topic:{ACTION_TOPIC}")
                return state is not None and state["activity"] == "waiting"

        await until(is_answered)

        async def nothing_waits() -> bool:
            async with bare_world.service.store.reader() as connection:
                return (await outgoing_events.counts(connection))[OutgoingState.DUE] == 0

        await until(nothing_waits)
        await execute(bare_world, ReleaseHold(hold=Hold.CREDIT))
        await until(nothing_waits)
    async with bare_world.service.store.reader() as connection:
        noted = await journal.read(connection, "topic", f"/event/{ORDER_STATUS}")
    assert [(entry.action, entry.detail["events"]) for entry in noted] == [("discarded", 1)]
    assert listener.publisher.stats.discarded == 2


async def test_silent_stream_is_opened_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.salesforce.pubsub.subscription.SILENCE_SECONDS", 0.3)
    listener = role(world)
    actions = listener.actions
    assert actions is not None
    async with running(listener, lambda: actions.stats):

        async def reopened() -> bool:
            return actions.stats.reopened >= 2

        await until(reopened)
        press(world.org, NUMBER, "hold")
        await answered(world, 1)
    assert "nothing arrived for" in actions.stats.last_error


async def test_actions_wait_while_the_deliveries_of_the_day_are_used_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.jobs.listen.LIMIT_PAUSE", 0.5)
    job = ActionJob(world.service.inbound_context, asyncio.Event())

    async def is_now(kind: TopicStatusKind, why: str) -> bool:
        topic = await action_topic(world)
        return topic is not None and topic.kind is kind and why in topic.why

    async with running(job, lambda: job.stats):
        world.org.org.faults.configure({"event_limit": 1})
        press(world.org, NUMBER, "hold")
        await until(lambda: is_now(TopicStatusKind.WAITING, "delivery limit"))
        assert (await order(world)).hold_reason is None
        await until(lambda: is_now(TopicStatusKind.LISTENING, ""))

        async def is_held() -> bool:
            return (await order(world)).hold_reason == "manual"

        await until(is_held)
    assert await is_now(TopicStatusKind.STOPPED, "")


async def action_topic(world: World) -> TopicStatus | None:
    async with world.service.store.reader() as connection:
        topics = await list_topics(connection, world.service.client.org_id, [], world.service.clock.now())
    return next((topic for topic in topics if topic.topic == ACTION_TOPIC), None)


async def test_role_begins_anew_after_a_fault_and_ends_with_its_block(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.jobs.lease_job.log.exception", lambda *_, **__: None)
    original, faults = ActionJob.begin, [KeyError("a fault of ours")]

    async def failing(self: ActionJob) -> tuple[str, str]:
        if faults:
            raise faults.pop()
        return await original(self)

    monkeypatch.setattr(ActionJob, "begin", failing)
    listener = world.service.listener()
    assert listener is not None
    async with listener.running():
        press(world.org, NUMBER, "hold")
        await answered(world, 1)
    async with world.service.store.reader() as connection:
        assert await leases.list_held(connection, "listen:", world.service.clock.now()) == {}
        assert await leases.list_held(connection, "publish:", world.service.clock.now()) == {}


@pytest.mark.parametrize("ahead", [-10, 10])
async def test_first_start_is_a_moment_by_the_clock_of_the_org(database_url: str, ahead: int) -> None:
    """What was pressed since then is carried out, and what is older is not, whatever our own clock says."""
    offset = timedelta(minutes=ahead - 2)
    options = OrgOptions(metadata_root=our_metadata(), clock=lambda: datetime.now(UTC) + offset)
    async with LocalOrg(options, Ports(grpc=0)) as org, world_with_two_orders(org, database_url) as world:
        press(org, NUMBER, "hold", Reason__c="credit")
        offset = timedelta(minutes=ahead)
        job = ActionJob(world.service.inbound_context, asyncio.Event())
        async with running(job, lambda: job.stats):
            press(org, NUMBER, "cancel", Reason__c="customer changed his mind")

            async def handled() -> bool:
                async with world.service.store.reader() as connection:
                    return bool(await order_actions.list_latest(connection))

            await until(handled)
        async with world.service.store.reader() as connection:
            assert [item.request.action for item in await order_actions.list_latest(connection)] == ["cancel"]


async def test_action_that_was_carried_out_is_told_to_the_webhook(world: World) -> None:
    context = world.service.inbound_context
    settings = context.settings.model_copy(update={"webhooks": webhook_settings()})
    job = ActionJob(replace(context, settings=settings), asyncio.Event())
    async with running(job, lambda: job.stats):
        press(
            world.org, NUMBER, "hold", event_id="E-1", Reason__c="credit", Requested_By__c="Anna", Request_ID__c="R-1"
        )
        press(world.org, NUMBER, "refresh")
        press(world.org, NUMBER, "release", Reason__c="fraud")

        async def handled() -> bool:
            async with world.service.store.reader() as connection:
                return len(await order_actions.list_latest(connection)) == 3

        await until(handled)
    async with world.service.store.reader() as connection:
        notices = await change_notices.list_page(connection)
        asked = await order_actions.list_latest(connection)
    told = {json.loads(item.body)["data"]["action"]: item for item in notices}
    assert sorted(told) == ["hold", "refresh"]
    notice = told["hold"]
    [held] = [item.request for item in asked if item.request.action == "hold"]
    assert (held.request_id, held.reason) == ("R-1", "credit")
    body = json.loads(notice.body)
    assert (notice.type, notice.entity, notice.key) == ("order.action", "order", NUMBER)
    assert {name: body["data"][name] for name in ("action", "event")} == {"action": "hold", "event": "E-1"}
    assert "Anna" not in notice.body
