"""Returns in the org: as a reduction order, as a Return Order, or as fields of the order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, select

from connector.cli.localorg import our_metadata
from connector.errors import SalesforceError
from connector.jobs.org_deploy import deploy_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.recycle_bin import undelete
from connector.localorg.server import LocalOrg
from connector.localorg.settings import OrgSettings
from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.change import EntityKind
from connector.model.events import ApproveReturn, Deliver, Event, InspectReturn, ReceiveReturn, RequestReturn
from connector.model.order import LineInput
from connector.model.shipments import Resolution, ReturnReason
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.service import running_service
from connector.settings.salesforce import Returns
from connector.store import stock
from connector.store.partitions import slot_of_key
from connector.store.tables import links, outbox
from tests.flow.conftest import World, settings_for
from tests.flow.test_deletions import missing_in_org
from tests.order_builders import order_input
from tests.unit.store.samples import placements

BACK = {1: Decimal(2)}


@asynccontextmanager
async def world_of(settings: OrgSettings, url: str, returns: Returns) -> AsyncIterator[World]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata(), settings=settings)) as org:
        ours = settings_for(org, url)
        chosen = ours.model_copy(update={"salesforce": ours.salesforce.model_copy(update={"returns": returns})})
        async with running_service(chosen) as service:
            yield World(org, service)


async def act(world: World, *events: Event, number: str = "R-1") -> None:
    async with world.service.store.transaction() as uow:
        await OrderTransaction(uow, actor="anna").execute_all(
            [OrderCommand(number=number, event=event) for event in events]
        )


async def delivered(world: World) -> None:
    """An order of 5 and 1, delivered and paid."""
    await world.save()
    lines = (
        LineInput(number=1, sku="P-1", quantity=Decimal(5), unit_price=Decimal(14), discount=Decimal("0.1")),
        LineInput(number=2, sku="P-2", quantity=Decimal(1), unit_price=Decimal("9.80")),
    )
    placed = order_input(
        number="R-1", customer="C-1", placed_at=datetime(2026, 3, 1, tzinfo=UTC), currency="USD", lines=lines
    )
    everything = {1: Decimal(5), 2: Decimal(1)}
    async with world.service.store.transaction() as uow:
        await stock.count(uow, {("P-1", "EAST"): Decimal(9), ("P-2", "EAST"): Decimal(9)})
        [order] = await OrderTransaction(uow, actor="anna").place(placements([placed]))
        state = order.state
    await act(
        world,
        *(make_event(action) for action in (Action.VERIFY, Action.CONFIRM)),
        *(make_event(action, lines=everything) for action in (Action.ALLOCATE, Action.PICK, Action.SHIP)),
        Deliver(),
        *(make_event(action, amount=state.due) for action in (Action.INVOICE, Action.CAPTURE)),
    )


async def sent_back(world: World, resolution: Resolution = Resolution.REFUND) -> None:
    await act(
        world,
        RequestReturn(lines=BACK, reason=ReturnReason.DAMAGED, resolution=resolution),
        ApproveReturn(),
        ReceiveReturn(lines=BACK),
        InspectReturn(lines={1: Decimal(1)}, written_off={1: Decimal(1)}, warehouse="EAST"),
    )


async def reductions(world: World) -> list[dict[str, Any]]:
    return await world.query(
        "SELECT External_Key__c, Status, TotalAmount, OriginalOrder.External_Key__c, Return_Reason__c,"
        " (SELECT External_Key__c, Quantity, UnitPrice FROM OrderItems) FROM Order WHERE IsReductionOrder = true"
    )


async def test_refund_is_a_reduction_order_of_the_activated_original(world: World) -> None:
    await delivered(world)
    await sent_back(world)
    assert (await world.push()).in_sync
    [row] = await reductions(world)
    assert (row["External_Key__c"], row["Status"], row["TotalAmount"]) == ("R-1-RMA1", "Activated", Decimal("-25.2"))
    assert (row["OriginalOrder"]["External_Key__c"], row["Return_Reason__c"]) == ("R-1", "damaged")
    [line] = row["OrderItems"]["records"]
    assert (line["External_Key__c"], line["Quantity"], line["UnitPrice"]) == ("R-1-RMA1-1", -2, Decimal("12.6"))
    writes = world.writes
    assert (await world.push()).in_sync
    assert world.writes == writes


async def test_uninspected_return_shows_on_the_order(world: World) -> None:
    await delivered(world)
    await act(world, RequestReturn(lines=BACK, reason=ReturnReason.WRONG_ITEM))
    assert (await world.push()).in_sync
    assert await reductions(world) == []
    [row] = await world.query("SELECT Return_Status__c, Return_Reason__c FROM Order")
    assert (row["Return_Status__c"], row["Return_Reason__c"]) == ("requested", "wrong_item")


async def test_replaced_items_reduce_nothing_and_are_sent_again(world: World) -> None:
    await delivered(world)
    await sent_back(world, Resolution.REPLACEMENT)
    assert (await world.push()).in_sync
    assert await reductions(world) == []
    again = await world.order("R-1-R1")
    assert (again["TotalAmount"], again["lines"]["R-1-R1-1"]["Quantity"]) == (0, 2)


async def test_org_without_reduction_orders_shows_returns_on_the_order(database_url: str) -> None:
    async with world_of(OrgSettings(reduction_orders=False), database_url, Returns.AUTO) as world:
        await delivered(world)
        await sent_back(world)
        assert (await world.push()).in_sync
        assert await reductions(world) == []
        [row] = await world.query("SELECT Return_Status__c, Payment_Status__c, Amount_Due__c FROM Order")
        assert (row["Return_Status__c"], row["Payment_Status__c"]) == ("closed", "refund_due")
        assert row["Amount_Due__c"] == Decimal("-25.2")
        [line] = await world.query("SELECT Returned_Quantity__c FROM OrderItem WHERE External_Key__c = 'R-1-1'")
        assert line["Returned_Quantity__c"] == 2


async def test_explicit_reduction_setting_is_refused_by_an_org_without_them(database_url: str) -> None:
    async with world_of(OrgSettings(reduction_orders=False), database_url, Returns.REDUCTION_ORDER) as world:
        await delivered(world)
        await sent_back(world)
        summary = await world.push()
        assert "Order.IsReductionOrder" in (summary.held or "")
        assert (summary.waiting, await world.dead_letters()) == (1, [])  # until an admin switches them on


async def test_return_order_setting_creates_a_return_order(database_url: str) -> None:
    async with world_of(OrgSettings(return_orders=True), database_url, Returns.RETURN_ORDER) as world:
        deployed = await deploy_metadata(
            world.service.client,
            our_metadata(return_orders=True),
            version="66.0",
            clock=world.service.clock,
            on_progress=lambda done, total: None,
        )
        assert deployed.deployed.succeeded, deployed.deployed.problems
        await delivered(world)
        await act(world, RequestReturn(lines=BACK, reason=ReturnReason.DAMAGED))
        assert (await world.push()).in_sync
        soql = (
            "SELECT External_Key__c, Status, Order.External_Key__c, (SELECT QuantityReturned, QuantityReceived,"
            " ReasonForReturn, RepaymentMethod, OrderItem.External_Key__c FROM ReturnOrderLineItems) FROM ReturnOrder"
        )
        [row] = await world.query(soql)
        [line] = row["ReturnOrderLineItems"]["records"]
        assert (row["External_Key__c"], row["Status"], row["Order"]["External_Key__c"]) == (
            "R-1-RMA1",
            "Submitted",
            "R-1",
        )
        assert (line["QuantityReturned"], line["ReasonForReturn"], line["RepaymentMethod"]) == (2, "Damaged", "Refund")
        await act(world, ApproveReturn(), ReceiveReturn(lines=BACK))
        await act(world, InspectReturn(written_off=BACK))
        assert (await world.push()).in_sync
        [row] = await world.query(soql)
        [line] = row["ReturnOrderLineItems"]["records"]
        assert (row["Status"], line["QuantityReceived"]) == ("Closed", 2)
        assert await reductions(world) == []


async def test_missing_return_order_objects_are_named(database_url: str) -> None:
    async with world_of(OrgSettings(return_orders=False), database_url, Returns.RETURN_ORDER) as world:
        await delivered(world)
        with pytest.raises(SalesforceError, match="The org has no ReturnOrder, ReturnOrderLineItem"):
            await world.push()


async def test_reduction_whose_response_was_lost_is_not_created_twice(world: World) -> None:
    await delivered(world)
    assert (await world.push()).in_sync
    await sent_back(world)
    assert (await world.push()).in_sync
    store = world.service.store
    async with store.transaction() as uow:
        await uow.connection.execute(delete(links).where(links.c.entity.in_(["return", "return_line"])))
        uow.changed(EntityKind.RETURN, "R-1-RMA1", slot_of_key("C-1"), unconfirmed=True)
    assert (await world.push()).in_sync
    assert len(await reductions(world)) == 1


async def test_deleted_reduction_order_is_reported_until_it_is_undeleted(world: World) -> None:
    await delivered(world)
    await sent_back(world)
    await world.push()
    await world.service.pull()
    record = await world.change_in_org("Order", "R-1-RMA1", Status="Draft")
    dml = world.org.org.dml
    assert [outcome.error for outcome in dml.delete([record])] == [None]

    assert (await world.service.pull()).applied.deleted == {("return", "reported"): 1}
    assert (await world.service.pull()).applied.deleted == {}
    assert await missing_in_org(world) == [("return", "R-1-RMA1")]

    with dml.storage.transaction():
        undelete(dml, [record])
    assert (await world.service.pull()).applied.undeleted == {"return": 1}
    assert await missing_in_org(world) == []
    async with world.service.store.reader() as connection:
        due = (await connection.execute(select(outbox.c.entity, outbox.c.slot))).all()
    assert due == [("return", slot_of_key("C-1"))]
    assert (await world.push()).in_sync
    [row] = await reductions(world)
    assert (row["Status"], [line["Quantity"] for line in row["OrderItems"]["records"]]) == ("Activated", [-2])
