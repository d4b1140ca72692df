"""Reconciliation of what only some orgs have: returns in each form, person accounts, several currencies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.cli.localorg import our_metadata
from connector.errors import SalesforceError
from connector.jobs.org_deploy import deploy_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.localorg.settings import OrgSettings
from connector.model.events import RequestReturn
from connector.model.reconciliation import Healing, RecordState
from connector.model.shipments import ReturnReason
from connector.service import running_service
from connector.settings.salesforce import Returns
from tests.flow.adoption_steps import add_line, create, order_by_rep, record_of, update
from tests.flow.conftest import World, settings_for
from tests.flow.test_currencies import CUSTOMERS as TEA_CUSTOMERS
from tests.flow.test_currencies import SEED, TEA, tea, world_in
from tests.flow.test_person_accounts import ANA, COMPANY, PERSONS
from tests.flow.test_person_accounts import world_of as persons_world
from tests.flow.test_push import an_order
from tests.flow.test_reconcile import change_silently, found, reconcile
from tests.flow.test_returns import BACK, act, delivered, sent_back
from tests.flow.test_returns import world_of as returns_world

VERIFIED = {RecordState.VERIFIED: 1}


async def test_reduction_orders_are_compared_and_healed(world: World) -> None:
    await delivered(world)
    await sent_back(world)
    assert (await world.push()).in_sync
    equal = (await reconcile(world)).result
    assert (equal.counts["return"], equal.counts["return_line"], equal.differing) == (VERIFIED, VERIFIED, 0)
    await world.change_in_org("Order", "R-1-RMA1", Return_Reason__c="other")

    summary = await reconcile(world, heal=True)

    assert summary.healing is not None
    assert (summary.healing.differences, summary.healing.healed, summary.result.differing) == (1, 1, 0)
    [row] = await world.query("SELECT Return_Reason__c FROM Order WHERE IsReductionOrder = true")
    assert row["Return_Reason__c"] == "damaged"


async def test_org_without_reduction_orders_misses_no_return(database_url: str) -> None:
    async with returns_world(OrgSettings(reduction_orders=False), database_url, Returns.AUTO) as world:
        await delivered(world)
        await sent_back(world)
        assert (await world.push()).in_sync

        result = (await reconcile(world)).result

        assert (result.counts["return"], result.differing) == ({RecordState.NOT_SYNCED: 1}, 0)


async def test_return_orders_are_compared_and_created_again(database_url: str) -> None:
    async with returns_world(OrgSettings(return_orders=True), database_url, Returns.RETURN_ORDER) as world:
        await deploy_metadata(
            world.service.client,
            our_metadata(return_orders=True),
            version="66.0",
            clock=world.service.clock,
            on_progress=lambda done, total: None,
        )
        await delivered(world)
        await act(world, RequestReturn(lines=BACK, reason=ReturnReason.DAMAGED))
        assert (await world.push()).in_sync
        result = (await reconcile(world)).result
        assert (result.counts["return"], result.counts["return_line"], result.differing) == (VERIFIED, VERIFIED, 0)
        await world.change_in_org("ReturnOrderLineItem", "R-1-RMA1-1", QuantityReturned=1)

        summary = await reconcile(world, heal=True)

        assert summary.result.differing == 0
        [line] = await world.query("SELECT QuantityReturned FROM ReturnOrderLineItem")
        assert line["QuantityReturned"] == 2


async def test_person_accounts_are_compared_by_their_own_mapping(database_url: str) -> None:
    async with persons_world(PERSONS, database_url) as world:
        await world.save([an_order("A-2", customer="C-2")], some_customers=[COMPANY, ANA])
        assert (await world.push()).in_sync
        assert (await reconcile(world)).in_sync
        await world.change_in_org("Account", "C-2", PersonEmail="new@trujillo.example", FirstName="Anita")

        summary = await reconcile(world)

        fields = {item.field: item.healing for item in found(summary)["customer", "C-2"].fields}
        assert fields == {"PersonEmail": Healing.TAKE, "FirstName": Healing.PUSH}
        assert (await reconcile(world, heal=True)).in_sync


async def test_amounts_and_currencies_are_compared_as_the_org_stores_them(database_url: str) -> None:
    some = [tea("A-1", "EUR", "12.50"), tea("A-2", "USD", "13.75", customer="C-2"), tea("A-3", "JPY", "1999")]
    async for world in world_in(database_url, SEED.settings, records=SEED.records):
        await world.save(some, some_customers=TEA_CUSTOMERS, some_products=[TEA])
        assert (await world.push()).in_sync

        result = (await reconcile(world)).result

        assert (result.differing, result.counts["order"], result.counts["line"]) == (
            0, {RecordState.VERIFIED: 3}, {RecordState.VERIFIED: 3},
        )  # fmt: skip
        await change_silently(world.service.store, replace(TEA_CUSTOMERS[0], name="Chop-suey Bern"))
        assert found(await reconcile(world)).keys() == {("customer", "C-1")}


async def test_org_without_our_fields_is_named(database_url: str) -> None:
    async with LocalOrg(OrgOptions()) as bare, running_service(settings_for(bare, database_url)) as service:
        with pytest.raises(SalesforceError, match=r"none of the connector's fields.*Account\.External_Key__c"):
            await reconcile(World(bare, service))
        for dry_run in (True, False):
            with pytest.raises(SalesforceError, match="none of the connector's fields") as refused:
                await service.pull(dry_run=dry_run)
            assert "\n" not in str(refused.value)
            assert "`connector org deploy`" in refused.value.hint


async def test_order_that_a_rep_created_is_equal_once_it_is_adopted(world: World) -> None:
    """With another price book than ours, and a price of its own."""
    await world.save([an_order("N-1")])
    await world.push()
    await world.service.pull()
    book = await create(world, "Pricebook2", Name="Partners", IsActive=True)
    product = await record_of(world, "Product2", "P-1")
    entry = await create(world, "PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=10, IsActive=True)
    record = await order_by_rep(world, lines=[], activated=False, Pricebook2Id=book)
    await add_line(world, record, "P-1", 2, 9, entry=entry)
    await update(world, "Order", record, Status="Activated")
    await world.service.pull()
    assert (await world.push()).in_sync

    result = (await reconcile(world)).result

    assert result.findings == []
    assert (result.counts["order"], result.counts["line"]) == ({RecordState.VERIFIED: 2}, {RecordState.VERIFIED: 3})
