"""Duplicate rules, `connector link` and `unlink`, and what a dry run reports of both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import ANY

import pytest

from connector.cli.localorg import our_metadata
from connector.errors import ConnectorError, StoreError
from connector.jobs.link import Linker, LinkResult, normalize_record_id
from connector.localorg.org import OrgOptions
from connector.localorg.seed import SeedRecords
from connector.localorg.server import LocalOrg
from connector.localorg.settings import DuplicateRule, OrgSettings
from connector.model.change import EntityKind
from connector.model.stage import Stage
from connector.outbound import lease_keeper
from connector.outbound.lease_keeper import PRODUCT_LEASE, LeaseKeeper, lease_name
from connector.service import running_service
from connector.settings.salesforce import DuplicateRules
from connector.store.partitions import slot_of_key
from tests.flow.conftest import CUSTOMERS, World, settings_for
from tests.flow.test_push import an_order
from tests.flow.test_push_conflicts import a_line, delete
from tests.flow.test_record_identity import ids, letters, merge_accounts
from tests.order_builders import changed

CUSTOMER, ORDER = EntityKind.CUSTOMER, EntityKind.ORDER
ONE = an_order("A-1", stage=Stage.CONFIRMED, lines=(a_line(1),))
TEA_ROOMS = replace(CUSTOMERS[0], name="Harbour Tea Rooms", postal_code="97201")
THERE: SeedRecords = {"Account": [{"Name": "Harbour Tea Rooms", "BillingPostalCode": "97201", "Phone": "1"}]}


@asynccontextmanager
async def strict_world(
    url: str,
    *,
    action: str = "alert",
    rules: DuplicateRules = DuplicateRules.BLOCK,
    records: SeedRecords | None = THERE,
) -> AsyncIterator[World]:
    rule = DuplicateRule(
        name="Same_Account", sobject="Account", match=["Name", "BillingPostalCode"], action=action,
        message="Use one of these records?",
    )  # fmt: skip
    async with LocalOrg(
        OrgOptions(metadata_root=our_metadata(), settings=OrgSettings(duplicate_rules=[rule]), records=records)
    ) as org:
        settings = settings_for(org, url)
        salesforce = settings.salesforce.model_copy(update={"duplicate_rules": rules})
        async with running_service(settings.model_copy(update={"salesforce": salesforce})) as service:
            yield World(org, service)


def linker(world: World) -> Linker:
    service = world.service
    return Linker(service.store, service.client, service.mappings, service.settings, clock=service.clock)


async def link(world: World, key: str, record: str, *, kind: EntityKind = CUSTOMER, **how: Any) -> LinkResult:
    return await linker(world).link(kind, key, record, **{"force": False, "dry_run": False, **how})


async def test_duplicate_rule_refusal_names_the_record_and_the_link_command(database_url: str) -> None:
    async with strict_world(database_url) as world:
        [there] = (await ids(world, "Account")).values()
        await world.save([ONE, changed(ONE, number="A-2")], some_customers=[TEA_ROOMS, CUSTOMERS[1]])
        await world.push()
        found = await world.dead_letters()
        assert {(letter.key, letter.refusal.code, letter.refusal.record) for letter in found} == {
            ("A-1", "DUPLICATES_DETECTED", "customer C-1"), ("A-2", "DUPLICATES_DETECTED", "customer C-1"),
        }  # fmt: skip
        refusal = found[0].refusal
        assert f"Same_Account found Account {there}" in refusal.message
        assert "97201" not in refusal.message + refusal.fix
        assert f"`connector link customer C-1 {there}`" in refusal.fix

        foreseen = await link(world, "C-1", there, dry_run=True)
        assert foreseen.differs["Phone"] == ("1", None)
        assert (await ids(world, "Account"))[None] == there
        assert len(await world.dead_letters()) == 2

        linked = await link(world, "C-1", there[:15])
        assert linked.released == 3  # two orders, and the customer that waited with them
        assert await world.dead_letters() == []
        assert (await world.push()).in_sync
        assert (await ids(world, "Account"))["C-1"] == there
        [row] = await world.query(
            "SELECT Phone, (SELECT Status FROM Orders) FROM Account WHERE External_Key__c = 'C-1'"
        )
        assert row["Phone"] is None
        assert [order["Status"] for order in row["Orders"]["records"]] == ["Activated", "Activated"]


@pytest.mark.parametrize("ordered", [True, False], ids=["in a graph", "by collections"])
@pytest.mark.parametrize(("action", "saved"), [("alert", True), ("block", False)])
async def test_allowed_duplicates_pass_an_alerting_rule_but_not_a_blocking_one(
    database_url: str, action: str, saved: bool, ordered: bool
) -> None:
    async with strict_world(database_url, action=action, rules=DuplicateRules.ALLOW) as world:
        await world.save([ONE] if ordered else [], some_customers=[TEA_ROOMS])
        summary = await world.push()
        assert summary.in_sync is saved
        assert await world.count("Account") == 1 + saved


async def test_duplicate_found_by_an_update_asks_for_a_merge_instead_of_a_link(database_url: str) -> None:
    async with strict_world(database_url) as world:
        await world.save(some_customers=CUSTOMERS[:1])
        assert (await world.push()).in_sync
        await world.save(some_customers=[TEA_ROOMS])
        await world.push()
        [letter] = await world.dead_letters()
        assert letter.refusal.code == "DUPLICATES_DETECTED"
        assert (await ids(world, "Account"))[None] in letter.refusal.message
        assert "merge the two in the org" in letter.refusal.fix
        assert "connector link" not in letter.refusal.fix


async def test_link_to_a_record_in_use_is_refused(world: World) -> None:
    await world.save(some_customers=CUSTOMERS[:3])
    await world.push()
    found = await ids(world, "Account")
    makes = world.service.client.collections_create
    made = await makes("Account", [{"Name": "X", "External_Key__c": "X-1"}, {"Name": "Gone"}])
    other, gone = (str(outcome.id) for outcome in made)
    await delete(world, "SELECT Id FROM Account WHERE Name = 'Gone'")
    [book] = [row["Id"] for row in await world.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")]
    await world.save(some_customers=[*CUSTOMERS[:3], replace(CUSTOMERS[3], number="C-9")])
    before = world.writes
    for key, record, said in [
        ("C-9", found["C-1"], "is the record of customer C-1"),
        ("C-9", other, "has the key X-1"),
        ("C-9", gone, "There is no Account"),
        ("C-9", book, "There is no Account"),
        ("C-9", "nonsense", "is not a record ID"),
        ("C-1", other, f"is linked to Account {found['C-1']}"),
        ("C-7", other, "There is no customer C-7"),
    ]:
        with pytest.raises(ConnectorError, match=said):
            await link(world, key, record)
    with pytest.raises(ConnectorError, match="is the record of customer C-1"):
        await link(world, "C-9", str(found["C-1"]), force=True)
    assert world.writes == before
    assert (await link(world, "C-9", other, force=True)).overwritten == "X-1"
    assert (await world.push()).in_sync
    assert (await ids(world, "Account"))["C-9"] == other


async def test_record_of_an_unlinked_customer_can_be_linked_to_another(world: World) -> None:
    await world.save([ONE], some_customers=CUSTOMERS[:2])
    await world.push()
    account = (await ids(world, "Account"))["C-1"]
    await linker(world).unlink(CUSTOMER, "C-1")
    assert (await ids(world, "Account"))[None] == account
    await linker(world).unlink(CUSTOMER, "C-2")
    await link(world, "C-2", account)
    assert (await world.push()).in_sync
    [row] = await world.query("SELECT Id, Name FROM Account WHERE External_Key__c = 'C-2'")
    assert (row["Id"], row["Name"]) == (account, "Käufer 2")


async def test_unlink_keeps_another_key_on_the_record(world: World) -> None:
    await world.save([ONE], some_customers=CUSTOMERS[:2])
    await world.push()
    account = await world.change_in_org("Account", "C-1", External_Key__c="C-9")
    line = await world.change_in_org("OrderItem", "A-1-1", External_Key__c="B-1-1")
    before = world.writes
    unlinked = await linker(world).unlink(CUSTOMER, "C-1")
    assert (unlinked.key_field, unlinked.others) == ("External_Key__c", {account: "C-9"})
    assert world.writes == before
    assert (await linker(world).unlink(ORDER, "A-1")).others == {line: "B-1-1"}
    assert (await ids(world, "Account"))["C-9"] == account
    assert (await ids(world, "Order"), await ids(world, "OrderItem")) == ({None: ANY}, {"B-1-1": line})


@pytest.mark.parametrize("kind", [CUSTOMER, EntityKind.PRODUCT])
async def test_link_and_unlink_wait_for_a_push_of_the_entity(
    world: World, kind: EntityKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.save(some_customers=CUSTOMERS[:1])
    await world.push()
    sobject, key = ("Account", "C-1") if kind is CUSTOMER else ("Product2", "P-1")
    record = str((await ids(world, sobject))[key])
    of = world.service.settings.sync.partitions
    name = lease_name(slot_of_key(key) % of) if kind is CUSTOMER else PRODUCT_LEASE
    monkeypatch.setattr(lease_keeper, "EXTRA_WAIT_SECONDS", -1.9)  # of a lease time of 2 seconds
    monkeypatch.setattr(lease_keeper, "POLL_SECONDS", 0.01)
    writes = world.writes
    async with LeaseKeeper(world.service.store, partitions=of, ttl=60, clock=world.service.clock) as pushing:
        pushing.seat += ":elsewhere"
        await pushing.acquire_all([name])
        for work in (linker(world).unlink(kind, key), link(world, key, record, kind=kind)):
            with pytest.raises(StoreError, match="Another push is at work"):
                await work
        assert (await link(world, key, record, kind=kind, dry_run=True)).link.salesforce_id == record
    assert world.writes == writes
    await linker(world).unlink(kind, key)
    assert (await ids(world, sobject))[None] == record


async def test_customer_can_be_linked_to_the_account_its_own_was_merged_into(world: World) -> None:
    await world.save([replace(ONE, customer="C-2")], some_customers=CUSTOMERS[:2])
    await world.push()
    loser = str((await ids(world, "Account"))["C-2"])
    [made] = await world.service.client.collections_create("Account", [{"Name": "W", "External_Key__c": "SAP-7"}])
    merge_accounts(world, str(made.id), loser)
    await world.save(some_customers=[CUSTOMERS[0], replace(CUSTOMERS[1], city="later")])
    await world.push()
    assert await letters(world) == {"C-2": ("RECORD_MERGED", "customer C-2")}
    assert (await link(world, "C-2", str(made.id), force=True)).released == 1
    before = world.writes
    assert (await world.push()).in_sync
    assert world.writes - before == 1  # the account's fields; its order is where it belongs
    assert (await world.order("A-1"))["Account"]["Name"] == "Käufer 2"


async def test_order_with_foreign_lines_is_not_adopted(world: World) -> None:
    await world.save([ONE])
    await world.push()
    order = (await ids(world, "Order"))["A-1"]
    await linker(world).unlink(ORDER, "A-1")
    assert set(await ids(world, "Order")) | set(await ids(world, "OrderItem")) == {None}
    with pytest.raises(ConnectorError, match="1 order products that are not lines of A-1"):
        await link(world, "A-1", order, kind=ORDER)
    [line] = (await ids(world, "OrderItem")).values()
    await world.service.client.collections_update([("OrderItem", line, {"External_Key__c": "A-1-1"})])
    await link(world, "A-1", order, kind=ORDER)
    await world.save([changed(ONE, notes="adopted")])
    assert (await world.push()).in_sync
    assert await world.count("OrderItem") == 1
    assert (await world.order("A-1"))["Description"] == "adopted"


async def test_dry_run_reports_taken_keys_and_missing_records(world: World) -> None:
    await world.save([ONE], some_customers=CUSTOMERS[:3])
    await world.push()
    await world.service.client.collections_create("Account", [{"Name": "By hand", "External_Key__c": "C-4"}])
    cleared = await world.change_in_org("Account", "C-1", External_Key__c=None)
    await delete(world, "SELECT Id FROM Account WHERE External_Key__c = 'C-2'")
    await world.save([changed(ONE, number="B-1", customer="C-2")], some_customers=CUSTOMERS[:4])
    await world.save(some_customers=[replace(CUSTOMERS[0], city="later")])
    before = world.writes
    foretold = await world.push(dry_run=True)
    assert world.writes == before
    assert [(letter.key, letter.refusal.code) for letter in foretold.refusals] == [("B-1", "ENTITY_IS_DELETED")]
    assert foretold.lookup_forecast is not None
    assert [item.partition(" (")[0] for item in foretold.lookup_forecast.found_by_key] == ["customer C-4"]
    assert any(cleared in note for note in foretold.stats.notes)
    assert foretold.stats.created["Account"] == 0
    await world.push()
    assert await letters(world) == {"B-1": ("ENTITY_IS_DELETED", "customer C-2")}
    assert await world.count("Account") == 3


async def test_dry_run_without_conflicts_reports_the_calls_of_the_push(world: World) -> None:
    await world.save([ONE])
    foretold, pushed = await world.push(dry_run=True), await world.push()
    assert (foretold.writes, foretold.reads) == (pushed.writes, pushed.reads)
    assert foretold.lookup_forecast is not None
    assert foretold.lookup_forecast.found_by_key == []
    assert foretold.lookup_forecast.reads <= 4


@pytest.mark.parametrize(
    ("short", "full"), [("001Lo0000000001", "001Lo0000000001IAA"), ("00D000000000001", "00D000000000001EAA")]
)
def test_short_record_id_is_completed(short: str, full: str) -> None:
    assert normalize_record_id(short) == normalize_record_id(full) == full
    assert (
        normalize_record_id(full.upper()) == normalize_record_id(full.lower()) == full
    )  # the suffix tells what a spreadsheet forgot


@pytest.mark.parametrize(
    "typed",
    ["001Lo0000000002IAB", "001lO0000000001IAA", "001LO0000000001iaa", "001Lo0000000001IA9", "001lo0000000001a9b"],
)
def test_record_id_with_a_wrong_suffix_is_refused(typed: str) -> None:
    with pytest.raises(ConnectorError, match="is not a record ID: its last three letters"):
        normalize_record_id(typed)
