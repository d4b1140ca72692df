"""What fails in one part of the listener is tried again after a pause, and ends no other part."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert

from connector.clock import SystemClock
from connector.errors import LeaseLostError, RetryClass, StoreError, TransportError
from connector.inbound.action_events import ActionEvents
from connector.inbound.record_events import RecordEvents
from connector.inbound.topic_cursor import TopicCursor
from connector.inbound.topic_listener import ListenContext
from connector.jobs.listen import ActionJob, ListenJob
from connector.jobs.publish_events import PublishJob
from connector.model.action_request import ActionRequest, ActionState
from connector.model.events import PlaceHold
from connector.model.holds import Hold
from connector.model.outgoing_event import OutgoingState
from connector.model.platform_event import ORDER_STATUS
from connector.salesforce.auth import TokenOwner
from connector.salesforce.pubsub.errors import SessionExpiredError, SubscriptionError
from connector.salesforce.pubsub.events import UnreadableEvent
from connector.salesforce.pubsub.publishing import EventPublisher
from connector.salesforce.pubsub.subscription import Delivery, PubSubClient
from connector.store import event_tables, journal, order_actions, outgoing_events
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork
from tests.flow.conftest import World
from tests.flow.pubsub import NUMBER, execute, press, published, running, stages, until
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


async def test_action_that_the_database_refuses_is_parked_and_stops_nothing(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL stores no NUL; U-1 cannot be carried out, and the texts of U-2 cannot even be stored."""
    execute_action, put = ActionEvents._execute, order_actions.put
    refusal = StoreError("The database refused a value.", retry_class=RetryClass.DATA)

    async def failing(self: ActionEvents, request: ActionRequest, replay_id: bytes) -> None:
        if request.event_id in {"U-1", "U-2"}:
            raise refusal
        await execute_action(self, request, replay_id)

    async def putting(uow: UnitOfWork, org_id: str, request: ActionRequest, *outcome: object) -> None:
        if request.event_id == "U-2" and request.action:
            raise refusal
        await put(uow, org_id, request, *outcome)  # type: ignore[arg-type]

    monkeypatch.setattr(ActionEvents, "_execute", failing)
    monkeypatch.setattr(order_actions, "put", putting)
    monkeypatch.setattr("connector.inbound.action_events.log.exception", lambda *_, **__: None)
    job = ActionJob(world.service.inbound_context, asyncio.Event())
    async with running(job, lambda: job.stats):
        press(world.org, NUMBER, "hold", Reason__c="bad\x00text", event_id="U-0")
        press(world.org, NUMBER, "cancel", event_id="U-1")
        press(world.org, NUMBER, "cancel", event_id="U-2")
        press(world.org, NUMBER, "hold", event_id="U-3")

        async def is_held() -> bool:
            return (await order(world)).hold_reason == "manual"

        await until(is_held)
    async with world.service.store.reader() as connection:
        stored = {item.request.event_id: item for item in await order_actions.list_latest(connection)}
    assert {key: (item.state, item.request.action) for key, item in stored.items()} == {
        "U-0": (ActionState.REFUSED, "hold"),
        "U-1": (ActionState.PARKED, "cancel"),
        "U-2": (ActionState.PARKED, ""),
        "U-3": (ActionState.ACCEPTED, "hold"),
    }
    assert stored["U-0"].request.reason == "bad\N{REPLACEMENT CHARACTER}text"
    assert job.stats.reopened == 0


async def test_action_whose_schema_cannot_be_fetched_is_parked_after_some_attempts(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[str] = []
    call = PubSubClient.call

    async def failing(self: PubSubClient, name: str, *arguments: object) -> object:
        if name == "GetSchema":
            attempts.append(name)
            raise SubscriptionError("There is no such schema.", retry_class=RetryClass.TRANSIENT)
        return await call(self, name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(PubSubClient, "call", failing)
    monkeypatch.setattr("connector.salesforce.pubsub.subscription.SCHEMA_ATTEMPTS", 2)
    monkeypatch.setattr("connector.inbound.topic_listener.FIRST_PAUSE", 0.01)
    job = ActionJob(world.service.inbound_context, asyncio.Event())

    async def is_parked() -> bool:
        async with world.service.store.reader() as connection:
            return bool(await order_actions.list_latest(connection, state=ActionState.PARKED))

    async with running(job, lambda: job.stats):
        press(world.org, NUMBER, "hold")
        await until(is_parked)
        monkeypatch.setattr(PubSubClient, "call", call)
        press(world.org, NUMBER, "hold")

        async def is_held() -> bool:
            return (await order(world)).hold_reason == "manual"

        await until(is_held)
    assert len(attempts) == 2


async def test_thousand_postponed_events_do_not_delay_another_order(world: World) -> None:  # noqa: F811
    store = world.service.store
    await world.service.client.connect()
    async with store.transaction() as uow:
        row = {
            "org_id": None, "name": ORDER_STATUS, "event_id": "E", "fields": "{}", "state": OutgoingState.DUE.value,
            "captured_at": uow.now, "due_at": uow.now + timedelta(hours=1), "attempts": 1, "error": "refused",
        }  # fmt: skip
        rows = [{**row, "order_number": f"P-{number}"} for number in range(1000)]
        behind = {**row, "order_number": "P-0", "due_at": uow.now}
        await uow.connection.execute(insert(event_tables.outgoing_events), [*rows, behind])
    await execute(world, PlaceHold(hold=Hold.CREDIT))
    async with running(PublishJob(world.service.inbound_context)):

        async def is_published() -> bool:
            return len(published(world.org, ORDER_STATUS)) == 1

        await until(is_published)
    assert stages(world.org) == [(NUMBER, "placed", "placed", "credit")]
    async with store.reader() as connection:
        assert (await outgoing_events.counts(connection))[OutgoingState.DUE] == 1001


async def test_position_stays_before_an_unreadable_event_until_everything_was_polled(store: Store) -> None:
    """The poll that follows such an event fails once: the org delivers the event again."""
    polls: list[int] = []

    async def hold_lease(_: UnitOfWork) -> None:
        pass

    async def catch_up() -> None:
        polls.append(1)
        if len(polls) == 1:
            raise TransportError("no answer")

    cursor = TopicCursor("00D", "/data/Connector__chn")

    async def org_time() -> datetime:
        return store.clock.now()

    context = ListenContext(
        store=store,
        subscriber=PubSubClient("", None),  # type: ignore[arg-type]
        org_id="00D",
        hold_lease=hold_lease,
        org_time=org_time,
    )
    handler = RecordEvents(context, cursor, own_user="", sobjects=tuple, on_records=lambda: None, catch_up=catch_up)
    event = UnreadableEvent(replay_id=b"7", id="E-1", reason="its header is unknown")
    responses = [Delivery(events=(event,), replay_id=b"7", pending=50)]
    with pytest.raises(TransportError):
        await handler.store(responses)
    async with store.reader() as connection:
        assert await cursor.read(connection) is None
    assert (await handler.store(responses)).unreadable == 1
    async with store.reader() as connection:
        position = await cursor.read(connection)
        noted = [entry.action for entry in await journal.read(connection, "topic", "/data/Connector__chn")]
    assert position is not None
    assert (position.replay_id, noted) == (b"7", ["unreadable"])
