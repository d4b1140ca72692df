"""Both sides are compared record by record; what is on its way is no drift."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connector.errors import ConnectorError, LeaseLostError, StoreError
from connector.inbound.reconcile import org_side, reconciler, unlinked
from connector.inbound.reconcile.org_side import ComparedObject, OrgSide
from connector.jobs.reconcile import ReconcileOptions, ReconcileSummary
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.inbound_change import Source
from connector.model.reconciliation import Finding, Healing, RecordState
from connector.model.stage import Stage
from connector.store import customers, inbox, leases, links, reconcile_runs
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork
from tests.flow.conftest import CUSTOMERS, PRODUCTS, Silent, World
from tests.flow.test_deletions import delete_in_org
from tests.flow.test_push import an_order

EVERYTHING = len(CUSTOMERS) + len(PRODUCTS) + 2 + 4
"""Customers, products, two orders and their lines."""


async def begin(world: World) -> None:
    await world.save([an_order("N-1"), an_order("N-2", customer="C-2", stage=Stage.PLACED)])
    await world.push()


async def reconcile(world: World, **options: Any) -> ReconcileSummary:
    return await world.service.reconcile(ReconcileOptions(**options), Silent())


def found(summary: ReconcileSummary) -> dict[tuple[str, str | None], Finding]:
    return {(item.entity, item.key): item for item in summary.result.findings}


async def change_silently(store: Store, customer: Customer) -> None:
    """Change a customer so that nothing becomes due: as a restored database or a fault would."""
    async with store.transaction() as uow:
        await customers.save(uow, [customer])
        uow._changed.clear()


async def drop_link(store: Store, org_id: str, entity: str, key: str) -> None:
    async with store.transaction() as uow:
        assert await links.drop(uow, org_id, entity, [key])


async def add_line(world: World, number: str) -> str:
    """As a rep adds a product to an order; the ID of the line."""
    [row] = await world.query(f"SELECT Id FROM Order WHERE External_Key__c = '{number}'")
    [price] = await world.query("SELECT Id FROM PricebookEntry WHERE Product2.ProductCode = 'P-3'")
    line = {"OrderId": row["Id"], "PricebookEntryId": price["Id"], "Quantity": 1, "UnitPrice": 5}
    [outcome] = await world.service.client.collections_create("OrderItem", [line])
    assert outcome.id is not None, outcome.errors
    return outcome.id


async def spoil(world: World) -> dict[str, str]:
    """Make both sides differ in every way; the IDs of some records."""
    store, org_id, client = world.service.store, world.service.client.org_id, world.service.client
    await world.change_in_org("Account", "C-1", Phone="+49 251 1")
    await world.change_in_org("Order", "N-1", Tracking_Number__c="LOST", Status="Draft")
    other = await world.change_in_org("Account", "C-8", Name="Somebody else")
    await world.change_in_org("Order", "N-2", AccountId=other)
    await change_silently(store, replace(CUSTOMERS[2], name="Renamed here"))
    deleted = await delete_in_org(world, "Account", "C-4")
    await drop_link(store, org_id, "customer", "C-5")
    await delete_in_org(world, "Account", "C-6")
    await drop_link(store, org_id, "customer", "C-6")
    await world.change_in_org("Account", "C-7", External_Key__c=None)
    outcomes = await client.collections_create(
        "Account",
        [{"Name": name, "External_Key__c": key} for name, key in (("Twin", "C-7"), ("Stranger", "C-99"))],
    )
    assert all(outcome.success for outcome in outcomes)
    await delete_in_org(world, "OrderItem", "N-2-2")
    await world.change_in_org("OrderItem", "N-2-1", Quantity=13)
    return {"other": other, "deleted": deleted, "twin": str(outcomes[0].id), "line": await add_line(world, "N-2")}


async def test_every_kind_of_difference_is_found_and_kept(world: World) -> None:
    await begin(world)
    first = await reconcile(world)
    assert (first.result.verified, first.result.total(), first.in_sync) == (EVERYTHING, EVERYTHING, True)
    assert (first.calls, first.expected_calls) == (2, 2)  # a count, and the first pages of all objects
    ids = await spoil(world)

    summary = await reconcile(world)

    findings = found(summary)
    twin = next(item for item in summary.result.findings if item.record_id == ids["twin"])
    assert (twin.state, twin.key) == (RecordState.DUPLICATE, "C-7")
    states = {name: item.state for name, item in findings.items() if name != ("customer", "C-7")}
    assert states == {
        ("customer", "C-1"): RecordState.DRIFTED,
        ("customer", "C-3"): RecordState.DRIFTED,
        ("customer", "C-4"): RecordState.DELETED_IN_ORG,
        ("customer", "C-5"): RecordState.UNLINKED,
        ("customer", "C-6"): RecordState.MISSING_IN_ORG,
        ("customer", "C-8"): RecordState.DRIFTED,
        ("customer", "C-99"): RecordState.MISSING_HERE,
        ("order", "N-1"): RecordState.DRIFTED,
        ("order", "N-2"): RecordState.DRIFTED,
        ("line", "N-2-1"): RecordState.DRIFTED,
        ("line", "N-2-2"): RecordState.MISSING_IN_ORG,
        ("line", None): RecordState.MISSING_HERE,
    }
    [phone] = findings["customer", "C-1"].fields
    assert (phone.field, phone.owner, phone.local, phone.remote, phone.base, phone.healing) == (
        "Phone", "newest", None, "+49 251 1", None, Healing.TAKE,
    )  # fmt: skip
    assert {field.field: field.healing for field in findings["order", "N-1"].fields} == {
        "Tracking_Number__c": Healing.PUSH,
        "Status": Healing.PUSH,
    }
    [account] = findings["order", "N-2"].fields
    assert (account.field, account.remote, account.healing) == ("AccountId", ids["other"], Healing.PUSH)
    assert findings["line", None].record_id == ids["line"]
    assert findings["line", None].detail == "added in the org to order N-2"
    total, verified = summary.result.total(), summary.result.verified
    assert (total, verified, summary.in_sync) == (EVERYTHING, EVERYTHING - 11, False)

    async with world.service.store.reader() as connection:
        kept = await reconcile_runs.latest(connection, summary.org_id)
        assert kept is not None
        assert (kept.verified, kept.total, kept.finished_at) == (verified, total, summary.verified_at)
        assert await reconcile_runs.list_findings(connection, kept.id, limit=99) == summary.result.findings


def after_first_pages(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[object]]) -> None:
    """Do `work` when a run has read the org's records, and before it reads ours."""
    original = OrgSide.read_first_pages

    async def read(side: OrgSide, objects: Sequence[ComparedObject]) -> None:
        await original(side, objects)
        await work()

    monkeypatch.setattr(OrgSide, "read_first_pages", read)


async def test_what_is_on_its_way_is_no_drift(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await begin(world)
    store, org_id = world.service.store, world.service.client.org_id
    await change_silently(store, replace(CUSTOMERS[2], name="Renamed here"))
    record = await world.change_in_org("Account", "C-4", Name="Renamed there")
    async with store.transaction() as uow:
        await inbox.put(uow, org_id, [("Account", record)], Source.EVENT)

    async def go_on() -> None:
        await world.save([an_order("N-3")], some_customers=[replace(CUSTOMERS[0], name="Changed and sent")])
        assert (await world.push()).in_sync
        await world.change_in_org("Account", "C-3", Name="Renamed there")
        async with store.transaction() as uow:
            await customers.save(uow, [replace(CUSTOMERS[1], name="Due")])

    after_first_pages(monkeypatch, go_on)

    result = (await reconcile(world)).result

    assert result.findings == []
    assert result.counts["customer"] == {RecordState.VERIFIED: 5, RecordState.PENDING: 3}
    assert (result.counts["order"], result.counts["line"]) == ({RecordState.VERIFIED: 3}, {RecordState.VERIFIED: 6})
    monkeypatch.undo()
    await world.service.pull()
    await world.push()
    result = (await reconcile(world)).result
    assert (result.differing, result.verified) == (0, EVERYTHING + 3)


async def test_large_objects_are_read_by_a_bulk_query_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page of links and of records ends somewhere else."""
    await begin(world)
    ids = await spoil(world)
    expected = {(item.entity, item.key, item.record_id) for item in (await reconcile(world)).result.findings}
    for module in (org_side, reconciler):
        monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(unlinked, "PAGE", 2)
    monkeypatch.setattr(org_side, "BULK_FROM_PAGES", 1)

    by_bulk = await reconcile(world)
    monkeypatch.setattr(org_side, "BULK_FROM_PAGES", 99)
    by_page = await reconcile(world)
    products = await reconcile(world, selection={EntityKind.PRODUCT: ()})

    assert {plan.sobject: plan.bulk for plan in by_bulk.plans} == {
        "Account": True, "Product2": True, "Order": False, "OrderItem": True,
    }  # fmt: skip
    for summary in (by_bulk, by_page):
        assert {(item.entity, item.key, item.record_id) for item in summary.result.findings} == expected
        assert summary.result.total() == EVERYTHING
    assert ids["twin"] in {record for _, _, record in expected}
    assert (products.calls, products.expected_calls) == (3, 3)  # equal on both sides: nothing is read again
    assert by_page.expected_calls == 1 + 1 + 8 // 3 + 4 // 3 + 2 // 3 + 4 // 3


async def test_selected_entities_are_compared_by_their_keys(world: World) -> None:
    await begin(world)
    await spoil(world)

    summary = await reconcile(world, selection={EntityKind.ORDER: ["N-2"]})
    customers_only = await reconcile(world, selection={EntityKind.CUSTOMER: ["C-2", "C-5", "C-6", "C-7"]})
    products = await reconcile(world, selection={EntityKind.PRODUCT: ()})

    assert set(found(summary)) == {("order", "N-2"), ("line", "N-2-1"), ("line", "N-2-2"), ("line", None)}
    assert {name: item.state for name, item in found(customers_only).items()} == {
        ("customer", "C-5"): RecordState.UNLINKED,
        ("customer", "C-6"): RecordState.MISSING_IN_ORG,
        ("customer", "C-7"): RecordState.DRIFTED,
    }
    assert customers_only.result.verified == 1
    assert (products.result.verified, products.result.total()) == (len(PRODUCTS), len(PRODUCTS))
    async with world.service.store.reader() as connection:
        assert await reconcile_runs.latest(connection, summary.org_id) is None  # none of them compared everything
    with pytest.raises(ConnectorError, match="There is no order N-9 here"):
        await reconcile(world, selection={EntityKind.ORDER: ["N-9"]})


async def test_one_process_reconciles_at_a_time_and_a_stopped_run_verifies_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(world)
    store, org_id = world.service.store, world.service.client.org_id

    async def stop() -> None:
        with pytest.raises(StoreError, match="Another process reconciles"):
            await reconcile(world)
        raise asyncio.CancelledError

    after_first_pages(monkeypatch, stop)
    with pytest.raises(asyncio.CancelledError):
        await reconcile(world)
    monkeypatch.undo()
    async with store.reader() as connection:
        assert await reconcile_runs.latest(connection, org_id) is None
        assert await leases.list_held(connection, "reconcile:", store.clock.now()) == {}

    async def lose_lease() -> None:
        async with store.transaction() as uow:
            await leases.delete_leases(uow, [f"reconcile:{org_id}"], [])
            await leases.acquire_many(uow, [f"reconcile:{org_id}"], "another", 60)

    after_first_pages(monkeypatch, lose_lease)
    with pytest.raises(LeaseLostError):
        await reconcile(world)
    async with store.reader() as connection:
        assert await reconcile_runs.latest(connection, org_id) is None


async def test_run_stores_how_far_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.jobs.reconcile.NOTED_EVERY", timedelta())
    await begin(world)
    seen: list[int | None] = []
    original = reconcile_runs.note_progress

    async def note(uow: UnitOfWork, run: int, *, compared: int, calls: int) -> None:
        await original(uow, run, compared=compared, calls=calls)
        running = await reconcile_runs.find_running(uow.connection, world.service.client.org_id)
        seen.append(running and running.compared)

    monkeypatch.setattr(reconcile_runs, "note_progress", note)
    summary = await reconcile(world)
    assert seen == sorted(set(seen))
    async with world.service.store.reader() as connection:
        run = await reconcile_runs.latest(connection, world.service.client.org_id)
    assert run is not None
    assert run.planned == sum(plan.records for plan in summary.plans) == EVERYTHING
    assert run.compared == seen[-1] == EVERYTHING


async def test_dry_run_only_counts(world: World) -> None:
    await begin(world)

    summary = await reconcile(world, dry_run=True)

    assert (summary.calls, summary.expected_calls) == (1, 2)
    assert {plan.sobject: plan.records for plan in summary.plans} == {
        "Account": 8, "Product2": 4, "Order": 2, "OrderItem": 4,
    }  # fmt: skip
    assert summary.result.total() == 0


async def test_order_that_was_activated_in_the_org_before_it_was_confirmed_here_is_verified(world: World) -> None:
    await begin(world)
    await world.change_in_org("Order", "N-2", Status="Activated")

    summary = await reconcile(world, heal=True)

    assert (summary.result.verified, summary.writes) == (EVERYTHING, 0)


async def test_event_that_is_on_its_way_to_the_listener_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(world)
    store, org_id = world.service.store, world.service.client.org_id
    await world.change_in_org("Account", "C-1", Phone="+49 251 1")
    assert found(await reconcile(world)).keys() == {("customer", "C-1")}  # nobody listens
    await leases.acquire(store, f"listen:{org_id}:/data/Connector__chn", "a listener", 60)
    await world.change_in_org("Order", "N-1", Tracking_Number__c="LOST")
    sleep = store.clock.sleep

    async def hear_of_it(seconds: float) -> None:
        if seconds == reconciler.LATE_SECONDS:
            await world.service.pull()
        else:
            await sleep(seconds)

    monkeypatch.setattr(store.clock, "sleep", hear_of_it)

    result = (await reconcile(world)).result

    assert result.findings == []
    assert result.counts["customer"] == {RecordState.VERIFIED: 8}
    assert result.counts["order"] == {RecordState.VERIFIED: 1, RecordState.PENDING: 1}  # ours is due again
