"""Links, journal entries and org metadata are loaded as they were written."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from connector.errors import StoreError
from connector.model.record import FieldValue, Link
from connector.store import journal, links, org_metadata
from connector.store.engine import Store
from tests.conftest import ManualClock

ORG, SANDBOX = "00D000000000001AAA", "00D000000000002AAA"
SNAPSHOT: dict[str, FieldValue] = {
    "Name": "Käse",
    "TotalAmount": Decimal("0.0395"),
    "Big": Decimal("1E+9"),
    "Count__c": 3,
    "Active__c": True,
    "Empty__c": None,
}


def link(entity: str, key: str, number: int = 1) -> Link:
    sobject = {"order": "Order", "line": "OrderItem", "price": "PricebookEntry"}[entity]
    return Link(entity=entity, key=key, sobject=sobject, salesforce_id=f"801{number:015}", snapshot=SNAPSHOT)


async def put(store: Store, *items: Link, org: str = ORG) -> None:
    async with store.transaction() as uow:
        await links.put(uow, org, items)


async def test_snapshot_keeps_every_value(store: Store) -> None:
    await put(store, link("order", "1"))
    async with store.reader() as connection:
        found = await links.get(connection, ORG, "order", ["1", "2"])
    assert found == {"1": link("order", "1")}
    assert {name: type(value) for name, value in found["1"].snapshot.items()} == {
        name: type(value) for name, value in SNAPSHOT.items()
    }


async def test_second_put_replaces_the_first(store: Store) -> None:
    await put(store, link("order", "1"), replace(link("order", "1"), snapshot={"Status": "Draft"}))
    newer = replace(link("order", "1", 2), snapshot={"Status": "Activated"})
    await put(store, newer)
    async with store.reader() as connection:
        assert await links.get(connection, ORG, "order", ["1"]) == {"1": newer}


async def test_links_are_stored_by_org(store: Store) -> None:
    await put(store, link("order", "1"))
    await put(store, link("order", "1", 2), link("order", "2", 3), org=SANDBOX)
    async with store.transaction() as uow:
        assert await links.drop(uow, SANDBOX, "order", ["1", "9"]) == 1
    async with store.reader() as connection:
        assert list(await links.get(connection, ORG, "order", ["1", "2"])) == ["1"]
        assert list(await links.get(connection, SANDBOX, "order", ["1", "2"])) == ["2"]
        assert await links.count(connection, ORG) == dict.fromkeys(links.ENTITIES, 0) | {"order": 1}


async def test_link_is_found_by_record_id(store: Store) -> None:
    await put(store, link("order", "1"), link("line", "1-1", 2))
    await put(store, link("order", "7", 2), org=SANDBOX)
    wanted = link("line", "1-1", 2)
    async with store.reader() as connection:
        assert await links.find(connection, ORG, [wanted.salesforce_id, "801999999999999999"]) == {
            wanted.salesforce_id: wanted
        }


async def test_record_of_an_org_cannot_belong_to_two_entities(store: Store) -> None:
    await put(store, link("order", "1"))
    await put(store, link("order", "2"), org=SANDBOX)
    with pytest.raises(StoreError):
        await put(store, link("order", "2"))


async def test_children_of_an_order_are_its_own_lines_only(store: Store) -> None:
    keys = ["A-1", "A-2", "A-1-1", "B-1", "AB-1"]
    await put(store, *(link("line", key, number) for number, key in enumerate(keys)), link("price", "A|USD", 9))
    async with store.reader() as connection:
        found = await links.children(connection, ORG, "line", ["A", "A-1", "none"])
    assert {order: sorted(lines) for order, lines in found.items()} == {"A": ["A-1", "A-2"], "A-1": ["A-1-1"]}
    assert found["A-1"]["A-1-1"] == link("line", "A-1-1", 2)


async def test_many_links_are_stored_and_loaded_at_once(store: Store) -> None:
    many = [link("line", f"{number}-1", number) for number in range(3000)]
    await put(store, *many)
    async with store.reader() as connection:
        assert len(await links.get(connection, ORG, "line", [item.key for item in many])) == 3000
        assert len(await links.children(connection, ORG, "line", [str(number) for number in range(3000)])) == 3000
    async with store.transaction() as uow:
        assert await links.drop(uow, ORG, "line", [item.key for item in many]) == 3000


async def test_journal_returns_the_newest_entry_first(store: Store, clock: ManualClock) -> None:
    started = clock.now()
    for action in ("created", "updated", "refused"):
        async with store.transaction() as uow:
            entry = journal.JournalEntry(
                entity="order", key="1", action=action, detail={"total": Decimal("0.0395"), "at": action}
            )
            await journal.write(uow, [entry, replace(entry, key="2")])
            await journal.write(uow, [])
        clock.advance(1)
    async with store.reader() as connection:
        entries = await journal.read(connection, "order", "1", 2)
        everything = await journal.read(connection, "order", "1")
    assert [entry.action for entry in entries] == ["refused", "updated"]
    assert [entry.action for entry in everything] == ["refused", "updated", "created"]
    assert everything[-1].at == started
    assert everything[-1].detail == {"total": "0.0395", "at": "created"}


async def test_latest_metadata_of_an_org_replaces_the_earlier(store: Store, clock: ManualClock) -> None:
    async with store.reader() as connection:
        assert await org_metadata.latest(connection) is None
        assert await org_metadata.get(connection, ORG) is None
    for org, body in ((ORG, '{"v": 1}'), (SANDBOX, '{"v": 2}'), (ORG, '{"v": 3}')):
        clock.advance(1)
        async with store.transaction() as uow:
            await org_metadata.put(uow, org, body)
    async with store.reader() as connection:
        latest = await org_metadata.latest(connection)
        sandbox = await org_metadata.get(connection, SANDBOX)
    assert latest == org_metadata.OrgMetadata(org_id=ORG, fetched_at=clock.now(), body='{"v": 3}')
    assert sandbox is not None
    assert sandbox.body == '{"v": 2}'
