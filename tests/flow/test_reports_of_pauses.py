"""While lanes save the API budget, or the org is away, reports say what holds, and contradict each other in nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from connector.cli.status import load_status
from connector.cli.status_remarks import budget_remarks, sync_remarks
from connector.cli.topic_text import event_remarks
from connector.inbound.topic_cursor import TopicCursor
from connector.inbound.topic_listener import ListenContext, Listener
from connector.inbound.topic_status import TopicStatusKind, list_topics
from connector.jobs.doctor.database_checks import check_queue
from connector.jobs.doctor.examine import examine
from connector.jobs.doctor.org_checks import LIMITS
from connector.log import configure
from connector.model.api_budget import CallResult
from connector.model.health_check import CheckStatus
from connector.model.hourly_counts import hour_of
from connector.model.lane import Lane
from connector.model.listening_state import TopicActivity
from connector.model.worker import Worker
from connector.salesforce.pubsub.errors import SubscriptionError
from connector.settings.budget import BudgetSettings
from connector.store import api_calls, job_schedules, leases, outages, workers
from connector.store.engine import Store
from tests.conftest import ManualClock
from tests.flow.conftest import CUSTOMERS, World
from tests.flow.test_push import an_order

TOPIC = "/event/Order_Action__e"


async def test_paused_lanes_are_named_by_doctor_and_status(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    service = world.service
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", service.settings.database_url)
    monkeypatch.setenv("CONNECTOR_SALESFORCE__LOGIN_URL", world.org.url)
    monkeypatch.setenv("CONNECTOR_BUDGET__MOST_CALLS_PER_DAY", "500")
    settings = service.settings.model_copy(update={"budget": BudgetSettings(most_calls_per_day=500)})
    await world.save([an_order("N-1")])
    assert (await world.push()).in_sync
    await world.save([an_order("N-1")], some_customers=[replace(CUSTOMERS[-1], name="Renamed")])
    async with service.store.transaction() as uow:
        hour = hour_of(uow.now) - timedelta(hours=2)
        await api_calls.add(uow, service.client.org_id, {(hour, Lane.STATUS, CallResult.ANSWERED): 420})

    report = await examine(settings, service.store, clock=service.clock)
    [limits] = [check for check in report.checks if check.name == LIMITS]
    assert limits.status is CheckStatus.WARN
    assert "API calls of 24 hours are used. Calls of the lanes profile and backfill pause, to save" in limits.text
    assert "raise CONNECTOR_BUDGET__MOST_CALLS_PER_DAY" in limits.fix
    status = await load_status(check_files=False)
    [due] = sync_remarks(status)
    assert (due.startswith("1 change to be sent, the oldest since "), "connector push" in due) == (True, False)
    [waits] = budget_remarks(status["budget"])
    assert waits.startswith("1 change waiting for API calls (since ")
    assert "): Calls of the lanes profile and backfill pause, to save the API budget: " in waits

    # An order may be sent.
    await world.save([an_order("N-2")], some_customers=[])
    [due] = sync_remarks(await load_status(check_files=False))
    assert due.endswith(": `connector push` sends 1 of them.")
    async with service.store.transaction() as uow:
        await outages.record_failure(uow, code="503", message="It is down.", fix="Wait.", jitter=0)
    [due] = sync_remarks(await load_status(check_files=False))
    assert "connector push" not in due


async def test_doctor_says_why_changes_wait_for_long(world: World) -> None:
    service = world.service
    await world.save([an_order("N-1")])
    later = SimpleNamespace(now=lambda: service.clock.now() + timedelta(hours=1))
    slow = service.store.for_org("")
    monkey: Any = slow
    monkey.clock = later
    assert "`connector serve`" in (await check_queue(slow, service.settings)).fix
    async with service.store.transaction() as uow:
        await job_schedules.set_paused(uow, "push", True, actor="root@cli")
    assert "`connector jobs resume push`" in (await check_queue(slow, service.settings)).fix


async def test_topic_of_an_org_that_is_away_waits_since_then(store: Store, clock: ManualClock) -> None:
    configure("ERROR")

    async def hold(uow: object) -> None: ...

    begun = clock.now()
    context: Any = ListenContext(
        store=store, subscriber=SimpleNamespace(), org_id="00D", hold_lease=hold, org_time=lambda: begun
    )
    listener = Listener(context, TopicCursor("00D", TOPIC), SimpleNamespace(fallback=TopicActivity.WAITING))  # type: ignore[arg-type]
    await listener._write_state(TopicActivity.LISTENING)

    async def topic() -> Any:
        async with store.reader() as connection:
            [found] = await list_topics(connection, "00D", [], clock.now())
        [text] = event_remarks(
            {"topics": [{**{name: getattr(found, name) for name in found.__slots__}, "kind": found.kind.value}],
             "unpublished": 0, "refused": 0, "parked_actions": 0}, clock.now(),
        )  # fmt: skip
        return found, text

    found, text = await topic()
    assert (found.kind, text) == (TopicStatusKind.STOPPED, f"Nobody listens to {TOPIC}: `connector serve` does.")

    # Its stream is lost, and tried again and again.
    assert await leases.acquire(store, f"{leases.LISTEN}00D:{TOPIC}", "host:1:1", 1000) == 1
    lost = clock.advance(60)
    for number in range(3):
        await listener._write_state(TopicActivity.WAITING, SubscriptionError(f"Try {number} failed.", hint="Wait."))
        clock.advance(8)
    found, text = await topic()
    assert (found.kind, found.since, found.why) == (TopicStatusKind.WAITING, lost, "Try 2 failed.")

    # The lease ends, while the process lives and cannot sign in.
    await listener._write_state(TopicActivity.LISTENING)
    assert await leases.release(store, f"{leases.LISTEN}00D:{TOPIC}", "host:1:1", 1)
    async with store.transaction() as uow:
        worker = Worker(id="host:1:1", host="host", pid=1, roles=("listener",), engine="embedded", started_at=begun,
                        seen_at=uow.now, alive=True)  # fmt: skip
        await workers.report(uow, worker, ttl=1000)
    away = clock.advance(60)
    async with store.transaction() as uow:
        await outages.record_failure(uow, code="503", message="It is down.", fix="Wait.", jitter=0)
    for _ in range(2):
        clock.advance(30)
        found, text = await topic()
        assert (found.kind, found.since) == (TopicStatusKind.WAITING, away)
        assert text.startswith(f"{TOPIC} is not listened to since {away:%Y-%m-%d %H:%M:%S}")
        assert "It is down. Wait." in text
