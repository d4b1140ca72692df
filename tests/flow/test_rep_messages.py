"""What reps read on the record: why a change was not taken over, until it is settled."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import copytree
from typing import Any

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.mapping.backward import UnreadableValueError
from connector.mapping.receiver import RecordReceiver
from connector.model.customer import Customer
from connector.model.events import Cancel
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.service import running_service
from tests.flow.adoption_steps import add_line, create, order_by_rep, record_of, update
from tests.flow.conftest import World, settings_for
from tests.flow.test_adoption import orders_here
from tests.flow.test_pull import NUMBER, begin, both_sides_rest
from tests.flow.test_push import an_order

CUSTOMER = Customer(number="C-77", name="Newcomer")


async def message_on(world: World, record: str, sobject: str = "Order") -> str | None:
    [row] = await world.query(f"SELECT Sync_Message__c FROM {sobject} WHERE Id = '{record}'")
    text: str | None = row["Sync_Message__c"]
    return text


async def test_refused_field_is_told_with_the_restoring_call_until_a_change_is_taken(world: World) -> None:
    await begin(world)
    record = await world.change_in_org("Order", NUMBER, Promised_Date__c="2026-09-09", Description="fine")
    before = world.writes

    await world.service.pull()
    assert (await world.push()).in_sync

    assert world.writes == before + 1
    text = f"Promised Date was set back. Order {NUMBER} is shipped: it cannot change promised_on now."
    assert await message_on(world, record) == text
    await both_sides_rest(world)
    assert await message_on(world, record) == text

    await world.change_in_org("Order", NUMBER, Description="better")
    await world.service.pull()
    assert (await world.push()).in_sync
    assert await message_on(world, record) is None
    [row] = await world.query("SELECT Last_Synced__c FROM Order")
    assert row["Last_Synced__c"] is not None
    await both_sides_rest(world)


async def test_refused_lines_are_told_on_their_order(world: World) -> None:
    await begin(world, an_order(NUMBER, stage=Stage.PLACED))
    command = OrderCommand(number=NUMBER, event=Cancel())
    await world.service.orders.execute(command, actor="clerk")
    await world.push()
    record = await record_of(world, "Order", NUMBER)
    await world.change_in_org("OrderItem", f"{NUMBER}-2", Quantity=5)
    await add_line(world, record, "P-2", 4, "9.80")

    await world.service.pull()
    assert (await world.push()).in_sync

    first, second = str(await message_on(world, record)).split("\n")
    assert first.startswith(f"Line 2: Quantity was set back. Order {NUMBER} ")
    assert second.startswith(f"An added line was removed. Order {NUMBER} ")
    await both_sides_rest(world)


async def test_unreadable_value_is_told_until_it_can_be_read(world: World, monkeypatch: Any) -> None:
    await begin(world)
    record = await world.change_in_org("Account", "C-1", Phone="+49 251 1")
    with monkeypatch.context() as patched:
        patched.setattr(RecordReceiver, "patch", unreadable)
        assert (await world.service.pull()).parked == 1
        assert not (await world.push()).dead_letters
    assert await message_on(world, record, "Account") == "A change was not taken over: Phone: '+49' is no number."

    await world.change_in_org("Account", "C-1", Phone="+49 251 2")
    assert (await world.service.pull()).parked == 0
    assert (await world.push()).in_sync
    assert await message_on(world, record, "Account") is None
    await both_sides_rest(world)


def unreadable(receiver: RecordReceiver, taken: Any) -> Any:
    if "Phone" in taken:
        raise UnreadableValueError("Phone: '+49' is no number")
    return {}


async def test_order_that_is_not_adopted_says_why_once_until_it_is_adopted_or_withdrawn(world: World) -> None:
    await begin(world)
    account = await create(world, "Account", Name="Newcomer")
    adopted = await order_by_rep(world, AccountId=account)
    withdrawn = await order_by_rep(world, AccountId=account)
    before = world.writes

    await world.service.pull()
    reason = "The account of the order is not known as a customer in the order system."
    for record in (adopted, withdrawn):
        assert await message_on(world, record) == f"This order was not taken over: {reason}"
    await world.service.pull()
    await world.push()
    assert world.writes == before + 1

    await update(world, "Order", withdrawn, Status="Draft")
    await world.service.pull()
    assert await message_on(world, withdrawn) is None
    assert (await world.service.pull()).parked == 1

    await update(world, "Account", account, External_Key__c="C-77")
    await world.save(some_customers=[CUSTOMER])
    await update(world, "Order", adopted, PoNumber="PO-1")
    assert (await world.service.pull()).applied.adopted == 1
    assert await message_on(world, adopted) is not None
    before = world.writes
    assert (await world.push()).in_sync
    assert world.writes == before + 1
    assert await message_on(world, adopted) is None
    assert [order.header.po_number for order in await orders_here(world)] == ["PO-1"]
    await both_sides_rest(world)


async def test_org_without_these_fields_works_as_before(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "metadata"
    copytree(our_metadata(), folder)
    for file in folder.rglob("*__c.field-meta.xml"):
        if file.name.startswith(("Sync_Message__c", "Last_Synced__c")):
            file.unlink()
    [permissions] = folder.rglob("*.permissionset-meta.xml")
    text = permissions.read_text(encoding="utf-8")
    entries = re.findall(r" *<fieldPermissions>.*?</fieldPermissions>\n", text, flags=re.DOTALL)
    for entry in entries:
        if "Sync_Message__c" in entry or "Last_Synced__c" in entry:
            text = text.replace(entry, "")
    permissions.write_text(text, encoding="utf-8")
    async with (
        LocalOrg(OrgOptions(metadata_root=folder)) as org,
        running_service(settings_for(org, database_url)) as service,
    ):
        world = World(org, service)
        await begin(world)
        await world.change_in_org("Order", NUMBER, Promised_Date__c="2026-09-09")
        await order_by_rep(world, AccountId=await create(world, "Account", Name="Newcomer"))
        assert (await world.service.pull()).parked == 1
        assert (await world.push()).in_sync
        [row] = await world.query(f"SELECT Promised_Date__c FROM Order WHERE External_Key__c = '{NUMBER}'")
        assert row["Promised_Date__c"] is None
