"""Which record belongs to which entity: keys cleared in the org, deleted and merged records, and duplicates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.localorg.record_merge import merge_records
from connector.localorg.recycle_bin import undelete
from connector.model.change import EntityKind
from connector.model.stage import Stage
from tests.flow.conftest import CUSTOMERS, PRODUCTS, World
from tests.flow.test_push import an_order
from tests.flow.test_push_conflicts import a_line, delete, settled
from tests.order_builders import changed

ONE = an_order("A-1", stage=Stage.PLACED, lines=(a_line(1),))
TWO = an_order("A-2", stage=Stage.PLACED, lines=(a_line(1),))
CUSTOMER, PRODUCT, ORDER = EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.ORDER


async def letters(world: World) -> dict[str, tuple[str, str | None]]:
    return {letter.key: (letter.refusal.code, letter.refusal.record) for letter in await world.dead_letters()}


async def ids(world: World, sobject: str) -> dict[str | None, str]:
    rows = await world.query(f"SELECT Id, External_Key__c FROM {sobject}")
    return {row["External_Key__c"]: row["Id"] for row in rows}


def merge_accounts(world: World, winner: str, loser: str) -> None:
    """As a rep merges two accounts: the orders go to the winner."""
    dml = world.org.org.dml
    with dml.storage.transaction():
        merge_records(dml, "Account", winner, {}, [loser])


def take_out_of_bin(world: World, record: str) -> None:
    dml = world.org.org.dml
    with dml.storage.transaction():
        undelete(dml, [record])


@pytest.mark.parametrize("key", [None, "retyped"])
async def test_key_cleared_or_changed_in_the_org_is_restored_on_the_linked_account(
    world: World, key: str | None
) -> None:
    await world.save([ONE])
    await world.push()
    account = await world.change_in_org("Account", "C-1", External_Key__c=key)
    await world.save([TWO])
    assert (await world.push()).in_sync
    [order] = await world.query("SELECT AccountId FROM Order WHERE External_Key__c = 'A-2'")
    assert order["AccountId"] == account
    summary = await world.resync(CUSTOMER, "C-1")
    assert summary.in_sync
    assert [account in note for note in summary.stats.notes] == [True]
    assert (await ids(world, "Account"))["C-1"] == account
    assert await world.count("Account") == len(CUSTOMERS)


@pytest.mark.parametrize(
    ("sobject", "kind", "key"),
    [("Order", ORDER, "A-1"), ("Product2", PRODUCT, "P-1"), ("OrderItem", ORDER, "A-1-1")],
)
async def test_cleared_key_of_an_order_product_or_line_is_restored_by_a_resync(
    world: World, sobject: str, kind: EntityKind, key: str
) -> None:
    await world.save([ONE])
    await world.push()
    number = await world.count(sobject)
    record = await world.change_in_org(sobject, key, External_Key__c=None)
    assert (await world.resync(kind, "P-1" if kind is PRODUCT else "A-1")).in_sync
    assert (await ids(world, sobject))[key] == record
    assert await world.count(sobject) == number


async def test_cleared_key_of_an_account_or_product_is_restored_with_its_next_change(world: World) -> None:
    await world.save()
    await world.push()
    records = {
        sobject: await world.change_in_org(sobject, key, External_Key__c=None)
        for sobject, key in (("Account", "C-1"), ("Product2", "P-1"))
    }
    before = world.org.org.usage.calls
    await world.save(
        some_customers=[replace(CUSTOMERS[0], city="later")],
        some_products=[replace(PRODUCTS[0], name="later")],
    )
    assert (await world.push()).in_sync
    assert world.org.org.usage.calls - before == 3  # a write of each, and a look at the city, a shared field
    assert (await ids(world, "Account"))["C-1"] == records["Account"]
    assert (await ids(world, "Product2"))["P-1"] == records["Product2"]


async def test_resync_of_equal_entities_makes_no_write_call(world: World) -> None:
    await world.save([changed(ONE, notes="two\nlines"), TWO])
    await world.push()
    await world.save(some_customers=[replace(CUSTOMERS[1], city="elsewhere")])  # due, and not asked for
    before = world.writes
    for kind, keys in ((CUSTOMER, ["C-1", "C-2", "C-3"][::2]), (PRODUCT, ["P-1"]), (ORDER, ["A-1", "A-2"])):
        summary = await world.resync(kind, *keys)
        assert summary.in_sync
        assert dict(summary.stats.unchanged) in ({kind: len(keys)}, {}) or kind is PRODUCT
        assert sum(summary.stats.created.values()) + sum(summary.stats.updated.values()) == 0
        assert summary.others_due == 1
    assert world.writes == before
    assert (await world.due()) == {CUSTOMER: 1}
    assert (await world.push()).in_sync


@pytest.mark.parametrize("restored", [False, True], ids=["created again on request", "taken out of the recycle bin"])
async def test_deleted_account_is_reported_and_not_recreated_unasked(world: World, restored: bool) -> None:
    await world.save(some_customers=CUSTOMERS[:2])
    await world.push()
    account = (await ids(world, "Account"))["C-1"]
    await delete(world, "SELECT Id FROM Account WHERE External_Key__c = 'C-1'")
    await world.save([ONE], some_customers=CUSTOMERS[:2])
    before = world.org.org.usage.calls
    await world.push()
    assert await letters(world) == {"A-1": ("ENTITY_IS_DELETED", "customer C-1")}
    assert world.org.org.usage.calls - before <= 4
    await world.resync(CUSTOMER, "C-1")
    assert (await letters(world))["C-1"] == ("ENTITY_IS_DELETED", "customer C-1")
    [letter] = [letter for letter in await world.dead_letters() if letter.entity is CUSTOMER]
    assert account in letter.refusal.message
    assert "deleted in the org (20" in letter.refusal.message
    assert "`connector resync customer C-1 --recreate`" in letter.refusal.fix
    assert list(await ids(world, "Account")) == ["C-2"]
    if restored:
        take_out_of_bin(world, account)
        await world.replay()
    else:
        assert (await world.resync(CUSTOMER, "C-1", recreate=True)).in_sync
    assert (await world.push()).in_sync
    assert ((await ids(world, "Account"))["C-1"] == account) is restored
    assert (await world.order("A-1"))["Account"]["Name"] == "Käufer 1"


async def test_order_moved_to_a_deleted_account_is_refused_and_others_continue(
    world: World,
) -> None:
    await world.save([ONE, replace(TWO, customer="C-2")])
    await world.push()
    await world.change_in_org("Order", "A-2", AccountId=(await ids(world, "Account"))["C-3"])
    await delete(world, "SELECT Id FROM Account WHERE External_Key__c = 'C-2'")
    await world.save([replace(ONE, customer="C-2"), changed(TWO, customer="C-2", notes="goes on")])
    await world.push()
    assert await letters(world) == {"A-1": ("ENTITY_IS_DELETED", "customer C-2")}
    assert (await world.order("A-1"))["Account"]["Name"] == "Käufer 1"
    assert (await world.order("A-2"))["Description"] == "goes on"
    await world.resync(CUSTOMER, "C-2", recreate=True)
    await settled(world)
    assert (await world.order("A-1"))["Account"]["Name"] == "Käufer 2"


async def test_deleted_order_is_reported_and_recreated_on_request(world: World) -> None:
    await world.save([ONE])
    await world.push()
    await delete(world, "SELECT Id FROM Order")
    await world.save([changed(ONE, notes="later")])
    await world.push()
    await world.resync(ORDER, "A-1")
    assert await letters(world) == {"A-1": ("ENTITY_IS_DELETED", "order A-1")}
    assert await world.count("Order") == 0
    assert (await world.resync(ORDER, "A-1", recreate=True)).in_sync
    assert (await world.order("A-1"))["Description"] == "later"


async def test_deleted_product_is_reported_with_the_orders_that_need_it(world: World) -> None:
    await world.save()
    await world.push()
    await delete(world, "SELECT Id FROM Product2 WHERE External_Key__c = 'P-1'")
    await world.save([ONE], some_products=[replace(PRODUCTS[0], name="Renamed")])
    await world.push()
    assert (await letters(world))["P-1"] == ("ENTITY_IS_DELETED", "product P-1")
    await world.resync(PRODUCT, "P-1", recreate=True)
    await world.replay()
    await settled(world)
    assert set((await world.order("A-1"))["lines"]) == {"A-1-1"}


async def test_merged_account_is_followed_and_its_orders_are_not_resent(world: World) -> None:
    await world.save([changed(ONE, customer="C-2", stage=Stage.CONFIRMED)])
    await world.push()
    loser = (await ids(world, "Account"))["C-2"]
    [made] = await world.service.client.collections_create("Account", [{"Name": "Winner"}])
    merge_accounts(world, str(made.id), loser)
    await world.save([replace(TWO, customer="C-2")])
    before = world.writes
    summary = await world.push()
    assert summary.in_sync
    assert any(loser in note and str(made.id) in note for note in summary.stats.notes)
    [account] = await world.query(f"SELECT Name, External_Key__c FROM Account WHERE Id = '{made.id}'")
    assert (account["Name"], account["External_Key__c"]) == ("Käufer 2", "C-2")
    rows = await world.query("SELECT AccountId FROM Order WHERE External_Key__c IN ('A-1', 'A-2')")
    assert {row["AccountId"] for row in rows} == {made.id}
    assert world.writes - before <= 3  # the graph refused, the graph again, the account's own fields
    before = world.writes
    await world.save([changed(ONE, customer="C-2", stage=Stage.CONFIRMED, notes="later")])
    assert (await world.push()).in_sync
    assert world.writes - before == 1


async def test_account_merged_into_another_customers_is_refused_naming_both(world: World) -> None:
    await world.save()
    await world.push()
    found = await ids(world, "Account")
    merge_accounts(world, found["C-1"], found["C-2"])
    await world.save(some_customers=[replace(CUSTOMERS[1], city="later")])
    await world.push()
    [letter] = await world.dead_letters()
    assert (letter.key, letter.refusal.code) == ("C-2", "RECORD_MERGED")
    assert found["C-1"] in letter.refusal.message
    assert "C-1" in letter.refusal.message
    assert "connector link customer C-2" in letter.refusal.fix
    assert (await ids(world, "Account"))["C-1"] == found["C-1"]


@pytest.mark.parametrize("ordered", [True, False], ids=["in the graph of its order", "by itself"])
async def test_record_of_another_customer_is_never_adopted(world: World, ordered: bool) -> None:
    """A rep has typed the key of a customer that is still to come."""
    await world.save(some_customers=CUSTOMERS[:1])
    await world.push()
    account = await world.change_in_org("Account", "C-1", External_Key__c="C-2")
    await world.save([replace(ONE, customer="C-2")] if ordered else [], some_customers=CUSTOMERS[:2])
    await world.push()
    [letter] = await world.dead_letters()
    assert (letter.key, letter.refusal.code) == ("A-1" if ordered else "C-2", "LINKED_TO_ANOTHER")
    assert letter.refusal.record == "customer C-2"
    assert "customer C-1" in letter.refusal.message
    assert account in letter.refusal.message
    await settled_but(world, 1)
    assert (await ids(world, "Account"))["C-1"] == account  # put back, with the name
    [row] = await world.query("SELECT Name FROM Account WHERE External_Key__c = 'C-1'")
    assert row["Name"] == "Käufer 1"
    await world.replay()
    await settled(world)
    assert set(await ids(world, "Account")) == {"C-1", "C-2"}
    if ordered:
        assert (await world.order("A-1"))["Account"]["Name"] == "Käufer 2"


async def test_key_on_a_second_record_is_refused_naming_both_and_nothing_is_overwritten(world: World) -> None:
    await world.save()
    await world.push()
    linked = await world.change_in_org("Account", "C-1", External_Key__c=None)
    [second] = await world.service.client.collections_create("Account", [{"Name": "Second", "External_Key__c": "C-1"}])
    await world.save(some_customers=[replace(CUSTOMERS[0], city="later")])
    await world.push()
    [letter] = await world.dead_letters()
    assert letter.refusal.code == "KEY_ON_ANOTHER_RECORD"
    assert linked in letter.refusal.message
    assert str(second.id) in letter.refusal.message
    [row] = await world.query(f"SELECT Name, BillingCity FROM Account WHERE Id = '{second.id}'")
    assert (row["Name"], row["BillingCity"]) == ("Second", None)


async def settled_but(world: World, dead: int) -> None:
    """Push until nothing is waiting; so many dead letters stay."""
    for _ in range(4):
        summary = await world.push()
        if not summary.waiting:
            break
    assert (summary.waiting, summary.dead_letters) == (0, dead)
