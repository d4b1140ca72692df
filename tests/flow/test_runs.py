"""Every write keeps what it replaced, and says which run it belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connector.model.change import EntityKind
from connector.model.field_notes import FieldNote
from connector.model.record import FieldValue
from connector.model.stage import Stage
from connector.store import journal, resyncs
from connector.store.journal import JournalRecord
from tests.flow.conftest import CUSTOMERS, World
from tests.flow.test_push import an_order


async def entries(world: World, entity: str, key: str, *actions: str) -> list[JournalRecord]:
    """Those with fields, oldest first."""
    async with world.service.store.reader() as connection:
        found = await journal.read(connection, entity, key)
    return [entry for entry in reversed(found) if entry.notes and entry.action in actions]


def replaced(entry: JournalRecord) -> dict[str, tuple[FieldValue, FieldValue]]:
    """What was there and what took its place, by field."""
    return {f"{note.sobject}.{note.field}": (note.before, note.value) for note in entry.notes if note.has_before}


def note(entry: JournalRecord, name: str) -> FieldNote:
    [found] = [item for item in entry.notes if f"{item.sobject}.{item.field}" == name]
    return found


async def test_each_write_keeps_what_it_replaced(world: World) -> None:
    await world.save([an_order("A-1", stage=Stage.PLACED, notes="first")])
    await world.push()
    [created] = await entries(world, "order", "A-1", "written")
    assert all(item.created and not item.has_before for item in created.notes)

    await world.save([an_order("A-1", stage=Stage.PLACED, notes="second", lines=an_order("A-1").lines[:1])])
    await world.push()
    changed = (await entries(world, "order", "A-1", "written"))[-1]
    record = await world.order("A-1")
    assert replaced(changed)["Order.Description"] == ("first", "second")
    assert note(changed, "Order.Description").record_id == record["Id"]
    deleted = {item.field: item.before for item in changed.notes if item.effect == "deleted"}
    assert deleted["External_Key__c"] == "A-1-2"
    assert deleted["Quantity"] == 3

    await world.save(some_customers=[replace(CUSTOMERS[0], phone="+49 1", city="Köln")])
    await world.push()
    update = (await entries(world, "customer", "C-1", "written"))[-1]
    assert replaced(update)["Account.BillingCity"] == ("Münster", "Köln")
    assert replaced(update)["Account.Phone"] == (None, "+49 1")
    assert update.run is None


async def test_of_a_record_that_was_found_by_its_key_nothing_is_guessed(world: World) -> None:
    await world.service.client.collections_create("Account", [{"Name": "Old", "External_Key__c": "C-1"}])
    await world.save(some_customers=CUSTOMERS[:1])
    await world.push()
    [found] = await entries(world, "customer", "C-1", "written")
    name: Any = note(found, "Account.Name")
    assert (name.value, name.created, name.has_before) == ("Käufer 1", False, False)
    assert name.record_id


async def test_resync_names_its_writes_and_what_it_compared_with(world: World) -> None:
    await world.save([an_order("A-1"), an_order("A-2")])
    await world.push()
    await world.change_in_org("Order", "A-1", Lifecycle_Stage__c="placed")
    await world.resync(EntityKind.ORDER, "A-1", "A-2")
    async with world.service.store.reader() as connection:
        [asked] = await resyncs.list_page(connection, limit=5)
    assert (asked.run_name, asked.ended, asked.done, asked.total) == ("resync-1", True, 2, 2)
    await world.resync(EntityKind.CUSTOMER)
    async with world.service.store.reader() as connection:
        [of_all, _] = await resyncs.list_page(connection, limit=5)
    assert (of_all.total, of_all.done) == (len(CUSTOMERS), len(CUSTOMERS))
    [written] = [entry for entry in await entries(world, "order", "A-1", "written") if entry.run is not None]
    assert (written.run, replaced(written)) == ("resync-1", {"Order.Lifecycle_Stage__c": ("placed", "shipped")})
    assert not [entry for entry in await entries(world, "order", "A-2", "written") if entry.run is not None]

    await world.save([an_order("A-1", stage=Stage.DELIVERED)])
    await world.push()
    assert (await entries(world, "order", "A-1", "written"))[-1].run is None
