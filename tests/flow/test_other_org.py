"""An org other than the one the database works with: refused until a person confirms it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from connector.cli import org_deploy
from connector.cli.localorg import our_metadata
from connector.errors import ConnectorError, OtherOrgError
from connector.jobs.use_org import use_org
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.service import running_service
from connector.store import journal, links, orgs
from tests.flow.conftest import CUSTOMERS, World, settings_for
from tests.flow.test_record_identity import ONE, ids
from tests.order_builders import changed


@asynccontextmanager
async def pointed_at(org: LocalOrg, url: str) -> AsyncIterator[World]:
    async with running_service(settings_for(org, url)) as service:
        yield World(org, service)


async def use(world: World, org_id: str) -> int | None:
    service = world.service
    return await use_org(service.store, service.client, service.settings, org_id, clock=service.clock)


@pytest.fixture
async def another() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as started:
        yield started


async def test_other_org_is_refused_naming_both_ids_and_nothing_is_written(
    world: World, another: LocalOrg, database_url: str
) -> None:
    await world.save([ONE])
    assert (await world.push()).in_sync
    first = await world.service.client.connect()
    async with pointed_at(another, database_url) as elsewhere:
        second = await elsewhere.service.client.connect()
        for due in (False, True):
            if due:
                await elsewhere.save([changed(ONE, notes="later")])
            for dry_run in (True, False):
                with pytest.raises(OtherOrgError) as refused:
                    await elsewhere.push(dry_run=dry_run)
                for said in (first, second, another.url, f"connector org use {second}"):
                    assert said in str(refused.value)
            with pytest.raises(OtherOrgError):
                await elsewhere.resync(EntityKind.ORDER, "A-1")
        assert elsewhere.writes == 0
        with pytest.raises(ConnectorError, match=f"leads to org {second}"):
            await use(elsewhere, first)
    assert (await world.push()).in_sync
    assert (await world.order("A-1"))["Description"] == "later"


async def test_confirmed_org_gets_everything_and_the_former_org_can_be_used_again(
    world: World, another: LocalOrg, database_url: str
) -> None:
    await world.save([ONE])
    await world.push()
    first = await world.service.client.connect()
    async with pointed_at(another, database_url) as elsewhere:
        second = await elsewhere.service.client.connect()
        # A copy of production has our records under other IDs, or the same ID for another record.
        await elsewhere.service.client.collections_create("Account", [{"Name": "Copy", "External_Key__c": "C-1"}])
        there = (await ids(elsewhere, "Account"))["C-1"]
        assert await use(elsewhere, second) == len(CUSTOMERS) + 4 + 1
        assert await use(elsewhere, second) is None
        assert (await elsewhere.push()).in_sync
        assert (await elsewhere.order("A-1"))["Account"]["Name"] == "Käufer 1"
        assert (await ids(elsewhere, "Account"))["C-1"] == there
        await elsewhere.save([changed(ONE, notes="while away")])
        assert (await elsewhere.push()).in_sync
        async with elsewhere.service.store.reader() as connection:
            assert [org.org_id for org in await orgs.list_orgs(connection)] == [second, first]
            [entry] = await journal.read(connection, "order", "A-1", limit=1)
            assert entry.org_id == second
            assert await links.count(connection, first) == await links.count(connection, second)
    with pytest.raises(OtherOrgError):
        await world.push()
    await use(world, first)
    before = world.writes
    assert (await world.push()).in_sync
    assert world.writes - before == 1  # what changed while we were away
    assert (await world.order("A-1"))["Description"] == "while away"


async def test_dry_run_in_an_empty_org_foresees_what_its_push_sends(
    world: World, another: LocalOrg, database_url: str
) -> None:
    await world.save([ONE, changed(ONE, number="A-2", customer="C-2")])
    await world.push()
    async with pointed_at(another, database_url) as elsewhere:
        service, usage = elsewhere.service, another.org.usage
        # One product and one account are there already, so queries ask for real records and for made up ones.
        await service.client.collections_create("Account", [{"Name": "Copy", "External_Key__c": "C-1"}])
        await service.client.collections_create("Product2", [{"Name": "Copy", "External_Key__c": "P-1"}])
        await use(elsewhere, await service.client.connect())
        before = usage.used
        foreseen = await elsewhere.push(dry_run=True)
        assert foreseen.dry_run_reads == usage.used - before
        # It looks at once although what it looks for is in the lane that pauses first: a person waits for it.
        assert service.push_context.budget.usage().by_lane[Lane.BACKFILL] == 0
        pushed = await elsewhere.push()
        assert pushed.in_sync
        assert pushed.stats.created == {"Account": 7, "Product2": 3, "PricebookEntry": 4, "Order": 2, "OrderItem": 2}
        assert (foreseen.stats.created, foreseen.stats.updated) == (pushed.stats.created, pushed.stats.updated)
        assert (foreseen.writes, foreseen.reads, foreseen.held) == (pushed.writes, pushed.reads, None)
        assert {call["status"] for call in usage.recent_calls(100)} <= {200, 201}


async def test_deployment_to_another_org_says_so(
    world: World, another: LocalOrg, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.push()
    first, settings = await world.service.client.connect(), settings_for(another, world.service.settings.database_url)
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("CONNECTOR_SALESFORCE__LOGIN_URL", another.url)
    monkeypatch.setenv("CONNECTOR_SALESFORCE__CLIENT_ID", another.client_id)
    monkeypatch.setenv("CONNECTOR_SALESFORCE__CLIENT_SECRET", another.client_secret)
    _, other = await org_deploy._deploy(check=True, assign=False, return_orders=False)
    assert other is not None
    assert f"({another.url}), but this database works with org {first} ({world.org.url})." in other
    assert capsys.readouterr().err.startswith(f"{other} The check is made in the former.\n")
    monkeypatch.setenv("CONNECTOR_SALESFORCE__LOGIN_URL", world.org.url)
    monkeypatch.setenv("CONNECTOR_SALESFORCE__CLIENT_ID", world.org.client_id)
    monkeypatch.setenv("CONNECTOR_SALESFORCE__CLIENT_SECRET", world.org.client_secret)
    assert (await org_deploy._deploy(check=True, assign=False, return_orders=False))[1] is None


async def test_org_at_a_new_address_is_the_same_org(world: World, another: LocalOrg) -> None:
    await world.save([ONE])
    await world.push()
    store, org_id = world.service.store, await world.service.client.connect()
    async with store.transaction() as uow:
        await orgs.put(uow, org_id, login_url="https://old.example", instance_url="https://old.example", is_active=True)
    assert (await world.push()).in_sync
    async with store.reader() as connection:
        active = await orgs.get_active(connection)
    assert active is not None
    assert active.instance_url == world.org.url
