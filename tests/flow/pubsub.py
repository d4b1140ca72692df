"""A local org with its Pub/Sub API, a service that listens to it, and what a rep's button does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest

from connector.inbound.topic_listener import ListenerStats
from connector.jobs.listen import ACTION_TOPIC
from connector.localorg.server import LocalOrg
from connector.model.events import Event
from connector.model.platform_event import ORDER_ACTION_RESULT, ORDER_STATUS, topic_of
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.service import running_service
from connector.settings import Settings
from tests.flow.conftest import World, settings_for
from tests.flow.test_push import an_order

NUMBER, SHIPPED = "N-1", "N-2"
READY = {
    "stage": Stage.PLACED, "ship_to_name": "Käufer 1", "ship_to_street": "Prinzipalmarkt 1",
    "ship_to_city": "Münster", "ship_to_postal_code": "48143", "ship_to_country": "Germany",
}  # fmt: skip
"""An order that can be verified."""
MOST = 10_000
ID_FIELDS = {ORDER_ACTION_RESULT: "Request_Event_ID__c", ORDER_STATUS: "Event_ID__c"}


class Job(Protocol):
    async def run(self) -> None: ...


def listening_settings(org: LocalOrg, database_url: str, **more: Any) -> Settings:
    settings = settings_for(org, database_url)
    salesforce = settings.salesforce.model_copy(update={"pubsub_endpoint": org.pubsub_endpoint})
    return settings.model_copy(update={"salesforce": salesforce, **more})


@asynccontextmanager
async def running(job: Job, *stats: Callable[[], ListenerStats]) -> AsyncIterator[None]:
    """A job that runs; it is subscribed when the block begins."""
    task = asyncio.create_task(job.run())
    try:
        for each in stats:
            await until(lambda each=each: subscribed(each()))
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def subscribed(stats: ListenerStats) -> bool:
    return stats.subscribed


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def press(org: LocalOrg, order: str, action: str, *, event_id: str = "", **fields: Any) -> None:
    """What a rep's button publishes."""
    org.org.hub.publish(ACTION_TOPIC, {"Order_Number__c": order, "Action__c": action, **fields}, event_id)


def published(org: LocalOrg, name: str) -> list[dict[str, Any]]:
    """The events of an object that the org has, in their sequence; of those with one ID the first."""
    hub = org.org.hub
    payloads: dict[str, dict[str, Any]] = {}
    for event in hub.bus.events_after(0, {topic_of(name)}, MOST):
        schema = hub.schema_by_id(event.schema_id)
        assert schema is not None
        payload = schema.decode(event.payload)
        payloads.setdefault(payload[ID_FIELDS[name]], payload)
    return list(payloads.values())


def answers(org: LocalOrg, order: str | None = None) -> list[tuple[str, bool, str]]:
    """What reps were answered, of one order or all: action, whether it was carried out, the sentence."""
    return [
        (item["Action__c"], item["Succeeded__c"], item["Message__c"])
        for item in published(org, ORDER_ACTION_RESULT)
        if order in {None, item["Order_Number__c"]}
    ]


def stages(org: LocalOrg) -> list[tuple[str, str, str, str | None]]:
    """Order, stage before, stage after, holds."""
    names = ("Order_Number__c", "Previous_Stage__c", "Stage__c", "Hold_Reason__c")
    return [tuple(item[name] for name in names) for item in published(org, ORDER_STATUS)]  # type: ignore[misc]


async def execute(world: World, *events: Event, number: str = NUMBER) -> None:
    for event in events:
        await world.service.orders.execute(OrderCommand(number=number, event=event), actor="test")


def shorten_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the listener and the publisher wait only a moment."""
    monkeypatch.setattr("connector.inbound.topic_listener.SETTLE_SECONDS", 0.1)
    monkeypatch.setattr("connector.inbound.topic_listener.FIRST_PAUSE", 0.1)
    monkeypatch.setattr("connector.jobs.publish_events.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("connector.jobs.publish_events.FIRST_PAUSE", 0.1)
    monkeypatch.setattr("connector.jobs.lease_job.RETRY_SECONDS", 0.1)


@asynccontextmanager
async def world_with_two_orders(org: LocalOrg, database_url: str) -> AsyncIterator[World]:
    """A service that can listen, with an order that is ready to be worked on and a delivered one."""
    async with running_service(listening_settings(org, database_url)) as service:
        started = World(org, service)
        await started.save([an_order(NUMBER, **READY), an_order(SHIPPED, stage=Stage.DELIVERED)])
        yield started
