"""The API budget: the lowest lane pauses first, the reserve is left to others, and the queue drains by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial

import aiohttp
import pytest

from connector.cli.localorg import our_metadata
from connector.cli.status_remarks import budget_document, budget_remarks
from connector.errors import ApiBudgetError
from connector.inbound import poll, topic_listener
from connector.jobs import api_budget, push_rounds, reconcile, resync_loop
from connector.jobs.listen import ListenJob
from connector.jobs.pull_job import PullJob
from connector.jobs.push_summary import PushSummary
from connector.jobs.reconcile import ReconcileOptions
from connector.jobs.resync import capture
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.model.allowances import AllowancePolicies
from connector.model.api_budget import BudgetPolicy, CallResult
from connector.model.change import EntityKind, Unsent
from connector.model.inbound_change import InboxState
from connector.model.lane import Lane
from connector.model.order import LineInput
from connector.model.product import Price, Product
from connector.model.resync import ResyncMode, ResyncState
from connector.outbound import drain
from connector.outbound.batches import graph_calls
from connector.outbound.budget_status import load_budget_status
from connector.process_roles import LONGEST_PAUSE
from connector.service import running_service
from connector.settings.budget import BudgetSettings
from connector.store import api_calls, inbox, journal, orders, orgs, outbox
from connector.web.metrics import render_metrics
from tests.flow.conftest import CUSTOMERS, Silent, World, rep_of, settings_for
from tests.flow.test_delivery_allowance import MovedClock
from tests.flow.test_listen import is_subscribed
from tests.flow.test_listen import until as happens
from tests.flow.test_push import an_order
from tests.flow.test_resyncs import ask, until, working

ALLOWED, RESERVE = 1000, 100
KEYS = ["S-1", "B-1", "C-2", "P-8", "P-9", "N-1", "N-2", "N-3", "N-4", "N-9"]


@pytest.fixture
def moved() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def org(moved: MovedClock) -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata(), clock=moved.now), Ports(grpc=0)) as started:
        started.org.usage.limit = ALLOWED
        yield started


@pytest.fixture
async def world(org: LocalOrg, database_url: str, moved: MovedClock) -> AsyncIterator[World]:
    settings = settings_for(org, database_url)
    salesforce = settings.salesforce.model_copy(update={"pubsub_endpoint": org.pubsub_endpoint})
    settings = settings.model_copy(update={"salesforce": salesforce})
    async with running_service(settings, clock=moved) as service:
        started = World(org, service)
        await started.save([an_order("S-1"), an_order("B-1")])
        assert (await started.push()).in_sync
        yield started


async def others_call(world: World, left: int) -> None:
    """Other apps call until so many calls are left to us, and our next response says so."""
    usage = world.org.org.usage
    usage.record_call("other", write=False, calls=ALLOWED - RESERVE - left - usage.used - 1)
    await world.query("SELECT Id FROM Account LIMIT 1")
    assert usage.used == ALLOWED - RESERVE - left


async def change_as_rep(world: World, number: str, text: str) -> None:
    """A rep changes an order in the org, whose calls do not count as ours."""
    dml = world.org.org.dml
    found = dml.scalar('SELECT "Id" FROM "Order" WHERE "External_Key__c" = ?', number)
    url = f"{world.org.url}/services/data/v66.0/sobjects/Order/{found}"
    headers = {"Authorization": f"Bearer {world.org.org.auth.issue(user_id=rep_of(world.org))}"}
    async with aiohttp.ClientSession(headers=headers) as rep, rep.patch(url, json={"Description": text}) as answer:
        assert answer.status == 204, await answer.text()


async def change_in_every_lane(world: World, name: str) -> None:
    await world.save(
        [an_order("S-1", notes=name), an_order(f"N-{name}")],
        some_customers=[replace(CUSTOMERS[1], city=name)],
        some_products=[],
    )
    async with world.service.store.transaction() as uow:
        await capture(uow, EntityKind.ORDER, ["B-1"], Lane.BACKFILL, unconfirmed=True)


async def scheduled_push(world: World) -> PushSummary:
    return await world.service.push(Silent(), scheduled=True, verify=False)


async def keep_pushing(world: World) -> None:
    while True:
        await scheduled_push(world)
        await asyncio.sleep(0.05)


async def waiting(world: World) -> set[str]:
    """The keys of what is due. None of it has a failed attempt, or is refused."""
    found: dict[str, Unsent] = {}
    async with world.service.store.reader() as connection:
        for kind in EntityKind:
            some = await outbox.find(connection, kind, KEYS)
            found |= some
    assert all(
        (row.state.value, row.attempts, row.unconfirmed, row.error) == ("due", 0, key == "B-1", None)
        for key, row in found.items()
    )
    assert not await world.dead_letters()
    return set(found)


async def test_lanes_pause_from_the_lowest_and_go_on_by_themselves(world: World, moved: MovedClock) -> None:
    usage = world.org.org.usage
    for _ in range(60):
        await world.query("SELECT Id FROM Account LIMIT 1")
    moved.by += timedelta(hours=2)

    await others_call(world, 26)
    await change_in_every_lane(world, "1")
    summary = await scheduled_push(world)
    assert (await waiting(world), summary.paused, summary.outage) == ({"B-1"}, {Lane.BACKFILL: 1}, None)
    assert summary.pause_reason is not None
    assert summary.pause_reason.startswith("Calls of the lane backfill pause, to save the API budget: ")

    await others_call(world, 12)
    await change_in_every_lane(world, "2")
    await scheduled_push(world)
    assert await waiting(world) == {"B-1", "C-2"}

    # A new order needs a new product, which goes with it.
    await others_call(world, 16)
    line = LineInput(number=1, sku="P-9", quantity=Decimal(1), unit_price=Decimal(5))
    price = Price(currency="USD", unit_price=Decimal(5))
    await world.save(
        [an_order("N-9", lines=(line,))],
        some_customers=[],
        some_products=[Product(sku="P-9", name="Needed", prices=(price,)), Product(sku="P-8", name="Not needed")],
    )
    await scheduled_push(world)
    moved.by += timedelta(seconds=2)
    await scheduled_push(world)
    assert await waiting(world) == {"B-1", "C-2", "P-8"}

    await others_call(world, 5)
    await change_in_every_lane(world, "3")
    await scheduled_push(world)
    assert await waiting(world) == {"B-1", "C-2", "P-8", "N-3"}
    assert (await world.order("S-1"))["Description"] == "3"

    used = usage.used
    usage.record_call("other", write=False, calls=ALLOWED - RESERVE - used)
    await change_in_every_lane(world, "4")
    summary = await scheduled_push(world)
    calls = usage.calls
    for _ in range(3):
        again = await scheduled_push(world)
        assert (again.paused, again.pause_reason) == (summary.paused, summary.pause_reason)
    assert usage.calls == calls
    foreground = await world.push()
    assert not foreground.in_sync
    assert foreground.paused == {Lane.STATUS: 1, Lane.NEW: 2, Lane.PROFILE: 2, Lane.BACKFILL: 1}
    assert await waiting(world) == {"S-1", "B-1", "C-2", "P-8", "N-3", "N-4"}
    assert ALLOWED - RESERVE <= usage.used <= ALLOWED - RESERVE + 3  # others called; we noticed by our next calls

    await _check_what_is_shown(world)

    moved.by += timedelta(hours=25)
    calls = usage.calls
    summary = await scheduled_push(world)
    assert (summary.paused, await waiting(world)) == ({}, set())
    assert usage.by_resource["limits"] >= 1
    assert usage.calls - calls <= 12
    assert (await world.order("S-1"))["Description"] == "4"
    assert (await world.order("N-4"))["Status"] == "Activated"
    await _check_what_is_stored(world)


async def _check_what_is_shown(world: World) -> None:
    service, org = world.service, world.org.org.usage
    await service.push_context.budget.sync()
    async with service.store.reader() as connection:
        status = await load_budget_status(connection, service.client.org_id, service.clock.now(), BudgetPolicy())
    assert status is not None
    assert (status.used, status.allowed, status.reserve, status.left) == (org.used, ALLOWED, RESERVE, 0)
    assert status.paused == ("urgent", "status", "new", "profile", "backfill")
    assert status.waiting == {"status": 1, "new": 2, "profile": 2, "backfill": 1}
    [text] = budget_remarks(budget_document(status))
    assert text.startswith("6 changes waiting for API calls (since ")
    assert f"All calls pause, to save the API budget: {org.used:,} of the org's 1,000 API calls" in text
    metrics = (await render_metrics(service.store, AllowancePolicies(), (), ())).decode()
    assert f"connector_api_budget_used {org.used}.0" in metrics
    assert 'connector_api_lane_paused{lane="status"} 1.0' in metrics
    lines = [line for line in metrics.splitlines() if line.startswith('connector_api_calls{lane="status"')]
    assert sum(float(line.split()[1]) for line in lines) == status.by_lane["status"]


async def _check_what_is_stored(world: World) -> None:
    service = world.service
    await service.push_context.budget.sync()
    async with service.store.reader() as connection:
        org = await orgs.get_active(connection)
        assert org is not None
        entries = await journal.read(connection, "api_budget", "calls")
        stored = await api_calls.usage(
            connection, org.org_id, service.clock.now(), api_calls.policy_of(BudgetSettings())
        )
        counts = await api_calls.counts(connection, org.org_id, service.clock.now())
    assert [entry.action for entry in reversed(entries)][-1] == "resumed"
    assert {entry.detail["lowest_lane"] for entry in entries} >= {"backfill", "profile", "new", "status", "none"}
    assert stored.paused == ()
    answered = sum(number for (*_, result), number in counts.items() if result is CallResult.ANSWERED)
    assert answered == world.org.org.usage.used
    assert stored.ours - answered == 1  # the one that the expired session was refused for
    assert {result for _, _, result in counts} == {CallResult.ANSWERED, CallResult.REFUSED}


@pytest.mark.parametrize("cause", ["org", "cap"])
async def test_processes_share_what_is_used_and_lose_nothing(
    org: LocalOrg, database_url: str, moved: MovedClock, cause: str
) -> None:
    """One process uses up what is allowed; another one sees it before its first call. `org`: the org refuses."""
    settings = settings_for(org, database_url)
    cap = BudgetSettings(reserve_percent=0, most_calls_per_day=0 if cause == "org" else 40)
    settings = settings.model_copy(update={"budget": cap})
    async with running_service(settings, clock=moved) as service:
        first = World(org, service)
        await first.save([an_order("S-1"), an_order("B-1")])
        await first.push()
        if cause == "org":
            org.org.usage.record_call("other", write=False, calls=ALLOWED - org.org.usage.used)
        else:
            while service.push_context.budget.usage().left:
                await first.query("SELECT Id FROM Account LIMIT 1")
        await change_in_every_lane(first, "1")
        summary = await scheduled_push(first)
        assert summary.outage is None or summary.outage.code == "REQUEST_LIMIT_EXCEEDED"
        assert await waiting(first) == {"S-1", "B-1", "C-2", "N-1"}
    calls = org.org.usage.calls
    async with running_service(settings, clock=moved) as service:
        second = World(org, service)
        with pytest.raises(ApiBudgetError, match="All calls pause" if cause == "org" else "MOST_CALLS_PER_DAY"):
            await second.service.pull()
        assert not (await scheduled_push(second)).in_sync
        assert org.org.usage.calls == calls
        moved.by += timedelta(hours=25)
        await scheduled_push(second)
        assert await waiting(second) == set()
        assert (await second.order("N-1"))["Status"] == "Activated"


async def test_resyncs_and_comparisons_wait_for_calls(
    world: World, moved: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync_loop, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(resync_loop, "WAIT_SECONDS", 0.02)
    await others_call(world, 4)  # less than a backfill leaves to the lanes above
    with pytest.raises(ApiBudgetError, match="Calls of the lane backfill pause") as refused:
        await world.service.reconcile(ReconcileOptions(), Silent())
    assert "To go on now, lower CONNECTOR_BUDGET__RESERVE_PERCENT" in refused.value.hint
    assert (await world.service.pull()).in_sync
    calls = world.org.org.usage.calls
    async with working(world, pushing=False):
        asked = [await ask(world, mode, keys=("B-1",)) for mode in (ResyncMode.PUSH, ResyncMode.COMPARE)]
        for resync in asked:
            await until(world, resync.id, lambda item: "lane backfill pause" in (item.error or ""))
        assert world.org.org.usage.calls == calls
    moved.by += timedelta(hours=25)
    async with working(world, pushing=False):
        pushing = asyncio.create_task(keep_pushing(world))
        for resync in asked:
            await until(world, resync.id, lambda item: item.state is ResyncState.DONE and item.error is None)
        pushing.cancel()


async def test_comparison_that_pauses_goes_on_where_it_was(
    world: World, moved: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "PAUSE_SECONDS", 0.02)
    budget, usage = world.service.push_context.budget, world.org.org.usage
    await change_as_rep(world, "S-1", "differs")
    await others_call(world, 7)
    before = usage.calls
    comparing = asyncio.create_task(world.service.reconcile(ReconcileOptions(patience=LONGEST_PAUSE), Silent()))

    async def pauses() -> bool:
        return budget.open_lane is Lane.PROFILE and not await reconcile.is_reconciling(
            world.service.store, world.service.client.org_id
        )

    await happens(pauses)
    made = usage.calls - before
    assert made in {1, 2}
    selected = await world.service.reconcile(ReconcileOptions(selection={EntityKind.ORDER: ["B-1"]}), Silent())
    assert selected.result.verified  # another comparison needs not wait
    assert not comparing.done()
    others = usage.calls - before - made
    moved.by += timedelta(hours=25)
    assert (await comparing).result.differing == 1
    assert usage.calls - before - others == 3  # to count, to read, and to look again at what differs


async def test_what_is_behind_the_first_page_of_a_poll_is_less_urgent(
    world: World, moved: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "PAGE", 1)
    await others_call(world, 4)
    pull = partial(world.service.pull, sobjects=["Order"])
    with pytest.raises(ApiBudgetError, match="lane backfill pause"):  # of all records, for the first time
        await pull()
    with pytest.raises(ApiBudgetError, match="lanes profile and backfill pause"):  # of many that have changed meanwhile
        await pull()
    job = PullJob(pull)
    assert "profile and backfill pause" in str((await job())["paused"])
    moved.by += timedelta(hours=25)
    result = await job()
    assert (result["records"], "paused" in result) == (2, False)


async def test_many_streams_leave_the_reserve_to_others(
    world: World, moved: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight streams call at the same time, with one order a call, and each counts what the others have in flight."""
    monkeypatch.setattr(push_rounds, "ORDERS_PER_STREAM", 1)
    monkeypatch.setattr(drain, "graph_calls", partial(graph_calls, graphs=1))
    await others_call(world, 9)
    world.org.org.faults.configure({"latency_ms": 20})
    numbers = [f"M-{number}" for number in range(12)]
    await world.save([an_order(number, customer=f"C-{1 + index % 8}") for index, number in enumerate(numbers)])
    writes = world.writes
    summary = await scheduled_push(world)
    left = ALLOWED - RESERVE - world.org.org.usage.used
    assert (0 <= left <= 2, summary.outage, world.writes - writes >= 3) == (True, None, True)
    assert summary.paused[Lane.NEW] == len(numbers)  # what is created is still to be activated
    moved.by += timedelta(hours=25)
    assert (await scheduled_push(world)).paused == {}
    assert await world.count("Order") == 2 + len(numbers)
    assert not await world.dead_letters()


async def test_listener_waits_for_calls_with_its_stream_open(
    world: World, moved: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_budget, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(topic_listener, "SETTLE_SECONDS", 0.1)
    service, job = world.service, ListenJob(world.service.inbound_context)
    listening = asyncio.create_task(job.run())

    async def is_described(text: str) -> bool:
        async with service.store.reader() as connection:
            [order] = await orders.load(connection, ["S-1"])
        return order.header.notes == text

    async def has_arrived() -> bool:
        async with service.store.reader() as connection:
            return (await inbox.counts(connection, service.client.org_id))[InboxState.DUE] == 1

    try:
        await happens(lambda: is_subscribed(job))
        await world.change_in_org("Order", "S-1", Description="before")
        await happens(lambda: is_described("before"))
        usage = world.org.org.usage
        usage.record_call("other", write=False, calls=ALLOWED - RESERVE - usage.used)
        with suppress(ApiBudgetError):  # the listener may have called before us
            await world.query("SELECT Id FROM Account LIMIT 1")
        calls = service.client.calls_made
        await change_as_rep(world, "S-1", "while it waits")
        await happens(has_arrived)
        assert service.client.calls_made == calls
        usage.limit *= 2  # somebody buys calls
        moved.by += timedelta(minutes=16)
        await happens(lambda: is_described("while it waits"))
        assert (job.stats.reopened, service.client.calls_made.writes) == (0, calls.writes)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
