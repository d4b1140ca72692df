"""Upgrade of links: of two links to one record the later one stays; the other is reported as a dead letter."""

from __future__ import annotations

import asyncio
import re

import pytest
from sqlalchemy import text

from connector.model.change import ChangeState, EntityKind
from connector.store import dead_letters, journal, links, orgs, outbox, schema
from connector.store.engine import Store
from tests.databases import Databases
from tests.unit.store.test_upgrade import NOW

OLD, NEW = "00D000000000001AAA", "00D000000000002AAA"
LATER = NOW.replace("12:00", "13:00")
LINKS = [
    (OLD, "customer", "C-1", None, "Account", "001A", NOW),
    (NEW, "customer", "C-1", None, "Account", "001B", NOW),
    (NEW, "customer", "C-2", None, "Account", "001B", LATER),
    (NEW, "order", "O-1", None, "Order", "801A", LATER),
    (NEW, "line", "O-1-1", "O-1", "OrderItem", "802A", NOW),
    (NEW, "line", "O-1-2", "O-1", "OrderItem", "802A", LATER),
    (NEW, "product", "P-1", None, "Product2", "01tA", LATER),
    (NEW, "product", "P-2", None, "Product2", "01tA", NOW),
    (NEW, "price", "P-1|USD", "P-1", "PricebookEntry", "01uA", NOW),
    (NEW, "price", "P-2|USD", "P-2", "PricebookEntry", "01uA", LATER),
    (NEW, "price", "P-2|EUR", "P-2", "PricebookEntry", "01uB", LATER),
    (NEW, "return", "O-1-R1", None, "Order", "801R", NOW),
    (NEW, "return", "O-1-R2", None, "Order", "801R", LATER),
]


@pytest.fixture(scope="module")
def upgraded_url(module_databases: Databases) -> str:
    """A database with these links, upgraded from revision 0009. The tests only read it."""
    url = module_databases.migrated("0009")
    asyncio.run(fill_and_upgrade(url))
    return url


async def fill_and_upgrade(url: str) -> None:
    store = Store.open(url)
    sqlite = store.dialect == "sqlite"
    names = ("org_id", "entity", "key", "parent", "sobject", "salesforce_id", "synced_at")
    async with store.transaction() as uow:
        for row in LINKS:
            values = dict(zip(names, row, strict=True)) | {"snapshot": '{"Name": "Tea"}'}
            values["synced_at"] = str(values["synced_at"]).replace(" ", "T") if sqlite else values["synced_at"]
            await uow.connection.execute(
                text(
                    "INSERT INTO links (org_id, entity, key, parent, sobject, salesforce_id, snapshot, synced_at)"
                    " VALUES (:org_id, :entity, :key, :parent, :sobject, :salesforce_id, :snapshot, :synced_at)"
                ),
                values,
            )
    await schema.upgrade(store)
    await store.close()


async def test_record_linked_to_two_entities_stays_with_the_later_link(upgraded: Store) -> None:
    async with upgraded.reader() as connection:
        assert sorted(await links.get(connection, NEW, "customer", ["C-1", "C-2"])) == ["C-2"]
        assert sorted(await links.get(connection, NEW, "line", ["O-1-1", "O-1-2"])) == ["O-1-2"]
        assert sorted(await links.get(connection, OLD, "customer", ["C-1"])) == ["C-1"]
        letters = {
            (letter.entity, letter.key): letter.refusal for letter in await dead_letters.list_dead_letters(connection)
        }
        [kept] = await journal.read(connection, "customer", "C-1")
    assert set(letters) == {
        (EntityKind.CUSTOMER, "C-1"), (EntityKind.ORDER, "O-1"), (EntityKind.PRODUCT, "P-2"),
        (EntityKind.RETURN, "O-1-R1"),
    }  # fmt: skip
    refusal = letters[EntityKind.CUSTOMER, "C-1"]
    assert refusal.code == "LINKED_TO_ANOTHER"
    assert "001B was linked to customer C-1 and to customer C-2" in refusal.message
    assert (kept.org_id, kept.action, kept.detail["id"], kept.detail["snapshot"]) == (
        NEW, "unlinked", "001B", {"Name": "Tea"},
    )  # fmt: skip


async def test_price_links_follow_the_product_that_keeps_the_record(upgraded: Store) -> None:
    async with upgraded.reader() as connection:
        assert await links.children(connection, NEW, "price", ["P-2"]) == {}
        [[(key, kept)]] = [
            found.items() for found in (await links.children(connection, NEW, "price", ["P-1"])).values()
        ]
        unsent = await outbox.find(connection, EntityKind.PRODUCT, ["P-1", "P-2"])
        [told] = await journal.read(connection, "price", "P-2|USD")
    assert (key, kept.salesforce_id) == ("P-1|USD", "01uA")
    assert {sku: (row.state, row.unconfirmed) for sku, row in unsent.items()} == {
        "P-1": (ChangeState.DUE, True), "P-2": (ChangeState.DEAD, True),
    }  # fmt: skip
    assert (told.action, told.detail["holder"]) == ("unlinked", "product P-1")


async def test_dead_letters_of_duplicate_links_name_only_valid_commands(upgraded: Store) -> None:
    async with upgraded.reader() as connection:
        fixes = [letter.refusal.fix for letter in await dead_letters.list_dead_letters(connection)]
    named = {entity for fix in fixes for entity in re.findall(r"connector (?:un)?link (\w+)", fix)}
    assert named == {"customer", "product"}
    assert all("eplay" in fix for fix in fixes)


async def test_org_with_the_latest_write_becomes_the_active_one(upgraded: Store) -> None:
    async with upgraded.reader() as connection:
        assert [(org.org_id, org.active) for org in await orgs.list_orgs(connection)] == [(NEW, True), (OLD, False)]
