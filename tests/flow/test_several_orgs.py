"""Two orgs on one database: each customer's account is in one of them, with its orders; products are in both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import select

from connector.cli.localorg import our_metadata
from connector.errors import CommandError, SettingsError
from connector.jobs.reconcile import ReconcileOptions
from connector.jobs.resync_loop import ResyncLoop
from connector.jobs.resync_request import preview_resync, request_resync
from connector.jobs.schedule import define_jobs
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.model.change import ChangeState, EntityKind
from connector.model.customer import Customer
from connector.model.inbound_change import Source
from connector.model.resync import Priority, Resync, ResyncFilter, ResyncMode, ResyncState
from connector.model.role import Role
from connector.process_roles import ResyncOrg, running_roles
from connector.service import LocalServices, local_services, org_services
from connector.settings import Settings
from connector.settings.salesforce import OrgSettings
from connector.store import customers, inbox, leases, outages, outbox_counts, resyncs, tokens
from connector.store.tables import leases as leases_table
from tests.databases import Databases
from tests.flow.conftest import PRODUCTS, Silent, World, settings_for
from tests.flow.test_push import an_order

HERE = Customer(number="C-1", name="Here", country="US")
THERE = Customer(number="C-2", name="There", country="DE")


def settings_of(here: LocalOrg, there: LocalOrg, url: str) -> Settings:
    emea = OrgSettings(
        login_url=there.url,
        client_id=there.client_id,
        client_secret=there.client_secret,
        customers='country in ("DE", "AT")',
    )
    return settings_for(here, url).model_copy(update={"orgs": {"emea": emea}})


@pytest.fixture
async def other_org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as started:
        yield started


@pytest.fixture
async def local(org: LocalOrg, other_org: LocalOrg, databases: Databases) -> AsyncIterator[LocalServices]:
    async with local_services(settings_of(org, other_org, databases.migrated())) as services:
        yield services


@pytest.fixture
async def worlds(local: LocalServices, org: LocalOrg, other_org: LocalOrg) -> AsyncIterator[tuple[World, World]]:
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(org_services(local, name)) for name in ("", "emea")]
        yield World(org, services[0]), World(other_org, services[1])


async def keys(world: World, sobject: str) -> set[str]:
    return {row["External_Key__c"] for row in await world.query(f"SELECT External_Key__c FROM {sobject}")}


async def test_account_and_its_orders_are_in_the_org_that_the_expression_names(worlds: tuple[World, World]) -> None:
    here, there = worlds
    orders = [an_order("N-1", customer="C-1"), an_order("N-2", customer="C-2")]
    await here.save(orders, some_customers=[HERE, THERE])
    async with here.service.store.reader() as connection:
        assert (await outbox_counts.counts(connection))[EntityKind.ORDER][ChangeState.DUE] == 2  # the API sees both
    assert [(await world.push()).in_sync for world in worlds] == [True, True]
    assert [await keys(world, "Account") for world in worlds] == [{"C-1"}, {"C-2"}]
    assert [await keys(world, "Order") for world in worlds] == [{"N-1"}, {"N-2"}]
    skus = {product.sku for product in PRODUCTS}
    assert [await keys(world, "Product2") for world in worlds] == [skus, skus]
    assert [(await world.push()).writes for world in worlds] == [0, 0]

    # It stays where it is; a changed product goes to both; and what an org changes arrives here.
    moved = replace(THERE, country="US", phone="+1 202 1")
    renamed = [replace(PRODUCTS[0], name="Renamed"), *PRODUCTS[1:]]
    await here.save(orders, some_customers=[HERE, moved], some_products=renamed)
    for world in worlds:
        await world.push()
        assert await world.query("SELECT Id FROM Product2 WHERE Name = 'Renamed'")
    assert await there.query("SELECT Id FROM Account WHERE Phone = '+1 202 1'")
    assert await keys(here, "Account") == {"C-1"}
    await there.change_in_org("Account", "C-2", Phone="+1 202 2")
    await there.service.pull()
    assert (await here.push()).writes == (await there.push()).writes == 0


async def test_org_that_accepts_nothing_holds_up_no_other(worlds: tuple[World, World]) -> None:
    here, there = worlds
    await here.save([an_order("N-1", customer="C-1"), an_order("N-2", customer="C-2")], some_customers=[HERE, THERE])
    there.org.org.faults.status_count = 1000
    await there.service.push(Silent(), scheduled=True)
    assert (await here.push()).in_sync
    async with here.service.push_context.store.reader() as connection:
        assert await outages.get_current(connection) is None
        assert await outbox_counts.due_counts(connection, here.service.clock.now()) == {}
    async with there.service.push_context.store.reader() as connection:
        assert await outages.get_current(connection) is not None
    there.org.org.faults.status_count = 0
    assert (await there.push()).in_sync


async def test_comparison_of_an_org_expects_only_its_customers(worlds: tuple[World, World]) -> None:
    orders = [an_order("N-1", customer="C-1"), an_order("N-2", customer="C-2")]
    await worlds[0].save(orders, some_customers=[HERE, THERE])
    for world in worlds:
        await world.push()
    for world in worlds:
        result = (await world.service.reconcile(ReconcileOptions(), Silent())).result
        assert (result.differing, result.verified) == (0, result.total())


async def test_two_names_of_one_org_are_refused(org: LocalOrg, databases: Databases) -> None:
    settings = settings_of(org, org, databases.migrated())
    async with local_services(settings) as local, org_services(local, "") as here:
        world = World(org, here)
        await world.save([an_order("N-2", customer="C-2")], some_customers=[THERE])
        await world.push()
        async with org_services(local, "emea") as there:
            with pytest.raises(SettingsError, match=r"ORGS__EMEA__LOGIN_URL leads to org .* another name"):
                await World(org, there).push()


async def test_expression_that_cannot_be_used_is_named(org: LocalOrg, databases: Databases) -> None:
    settings = settings_of(org, org, databases.migrated())
    settings.orgs["emea"].customers = "land == 'DE'"
    with pytest.raises(SettingsError, match=r"CONNECTOR_ORGS__EMEA__CUSTOMERS .*land"):
        async with local_services(settings):
            pass


async def test_process_has_a_worker_for_each_org(org: LocalOrg, other_org: LocalOrg, databases: Databases) -> None:
    settings = settings_of(org, other_org, databases.migrated())
    orders = [an_order("N-1", customer="C-1"), an_order("N-2", customer="C-2")]
    async with (
        local_services(settings) as local,
        org_services(local, "") as here,
        running_roles(settings, ["worker", "scheduler"]) as states,
    ):
        assert set(states) == {"worker", "worker@emea", "resyncs", "scheduler"}
        names = {job.name for job in define_jobs(settings)}
        assert {"reconcile", "reconcile@emea", "pull_order@emea"} <= names
        await World(org, here).save(orders, some_customers=[HERE, THERE])
        async with asyncio.timeout(60):
            while any((await World(org, here).due()).values()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    for started, number in ((org, "N-1"), (other_org, "N-2")):
        found = [row["External_Key__c"] for row in started.org.dml.select("Order", "1 = 1")]
        assert found == [number]


async def resync(worlds: tuple[World, World], mode: ResyncMode, kind: EntityKind, **chosen: str) -> Resync:
    """Ask for a resync, and work it off, as a process does that works for both orgs."""
    store, stop = worlds[0].service.store, asyncio.Event()
    preview = await preview_resync(store, kind, ResyncFilter(**chosen), mode, partitions=8)  # type: ignore[arg-type]
    asked = await request_resync(store, preview, priority=Priority.LOW, actor="ann")
    sides = {name: ResyncOrg(world.service) for name, world in zip(("", "emea"), worlds, strict=True)}
    working = asyncio.create_task(ResyncLoop(store, sides, ttl=30).run(stop))
    try:
        async with asyncio.timeout(60):
            while True:
                async with store.reader() as connection:
                    found = await resyncs.get(connection, asked.id)
                assert found is not None
                if found.ended:
                    return found
                await asyncio.sleep(0.01)
    finally:
        stop.set()
        await working


async def test_resyncs_read_and_compare_the_records_of_each_org(worlds: tuple[World, World]) -> None:
    here, there = worlds
    await here.save([an_order("N-1", customer="C-1"), an_order("N-2", customer="C-2")], some_customers=[HERE, THERE])
    for world in worlds:
        await world.push()
    await here.change_in_org("Account", "C-1", Phone="+1 202 1")
    await there.change_in_org("Account", "C-2", Phone="+1 202 2")
    await there.change_in_org("Order", "N-2", Lifecycle_Stage__c="placed")

    pulled = await resync(worlds, ResyncMode.PULL, EntityKind.CUSTOMER)
    assert (pulled.state, pulled.done, pulled.failed) == (ResyncState.DONE, 2, 0)
    async with here.service.store.reader() as connection:
        phones = {item.number: item.phone for item in await customers.load(connection, ["C-1", "C-2"])}
    assert phones == {"C-1": "+1 202 1", "C-2": "+1 202 2"}

    compared = [
        await resync(worlds, ResyncMode.COMPARE, EntityKind.ORDER, **chosen)
        for chosen in ({}, {"org": "default"}, {"org": "emea"})
    ]
    assert [(item.state, item.total, item.failed) for item in compared] == [
        (ResyncState.DONE, 2, 1), (ResyncState.DONE, 1, 0), (ResyncState.DONE, 1, 1),
    ]  # fmt: skip
    products = await resync(worlds, ResyncMode.COMPARE, EntityKind.PRODUCT, org="emea")
    assert (products.total, products.failed) == (len(PRODUCTS), 0)

    # A store for one org, of a command with CONNECTOR_ORG, means that one's entities.
    store = there.service.push_context.store
    preview = await preview_resync(store, EntityKind.ORDER, ResyncFilter(), ResyncMode.PUSH, partitions=8)
    assert (preview.sample, preview.filter) == (["N-2"], {"org": "emea"})
    for kind, org, message in (
        (EntityKind.PRODUCT, "emea", "products are sent to every org"),
        (EntityKind.ORDER, "apac", "no org 'apac'"),
    ):
        with pytest.raises(CommandError, match=message):
            await preview_resync(store, kind, ResyncFilter(org=org), ResyncMode.PUSH, partitions=8)


async def test_api_shows_the_records_of_one_org_or_of_all(worlds: tuple[World, World], local: LocalServices) -> None:
    for world in worlds:
        await world.push()
        async with local.store.transaction() as uow:
            org_id = world.service.client.org_id
            secret = await tokens.create(uow, f"token of {org_id}", Role.OPS)
            await inbox.park(uow, org_id, ("Account", f"001{org_id[3:]}"), Source.POLL, error="No.", fix="Yes.")
    headers = {"Authorization": f"Bearer {secret}"}
    async with TestClient(TestServer(local.web_app()), headers=headers) as client:

        async def ask(path: str) -> tuple[int, Any]:
            async with client.get(f"/api/v1{path}") as answer:
                return answer.status, await answer.json()

        numbers = [len((await ask(f"/inbox{org}"))[1]["parked"]) for org in ("", "?org=default", "?org=emea")]
        assert numbers == [2, 1, 1]
        status, problem = await ask("/inbox?org=apac")
        assert (status, problem["field"], problem["hint"]) == (400, "org", "Use one of default, emea.")
        for path in ("/status", "/conflicts", "/conflict-rules", "/actions", "/dead-letters", "/dead-letters/groups"):
            assert (await ask(f"{path}?org=emea"))[0] == 200
        async with client.post("/api/v1/inbox/replay?org=emea", json={"all": True}) as answer:
            assert await answer.json() == {"replayed": 1}


async def test_poll_of_an_org_holds_the_lease_of_that_org(worlds: tuple[World, World], local: LocalServices) -> None:
    """What is applied to orders is a transaction of all orgs, and the lease is that of one."""
    here, there = worlds
    await here.save([an_order("N-2", customer="C-2")], some_customers=[THERE])
    await there.push()
    await there.change_in_org("Account", "C-2", Phone="+1 202 2")
    await there.service.pull()
    async with local.store.reader() as connection:
        assert await leases.list_unreleased(connection) == []
        rows = await connection.execute(select(leases_table.c.name))
        assert {name for name in rows.scalars() if "poll:" in name and not name.startswith("emea/")} == set()
