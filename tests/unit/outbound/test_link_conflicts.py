"""Conflicts of links: a record that is already linked to another entity."""

from __future__ import annotations

import pytest

from connector.model.record import Link
from connector.outbound.link_conflicts import StoredLinks, store_links
from connector.store import links
from connector.store.engine import Store

ORG = "00D000000000001AAA"
SOBJECTS = {"customer": "Account", "order": "Order", "line": "OrderItem", "price": "PricebookEntry"}


def link(entity: str, key: str, record: str) -> Link:
    return Link(entity=entity, key=key, sobject=SOBJECTS[entity], salesforce_id=record, snapshot={})


async def placed(store: Store, *items: Link) -> StoredLinks:
    async with store.transaction() as uow:
        return await store_links(uow, ORG, items)


async def stored(store: Store) -> dict[tuple[str, str], str]:
    async with store.reader() as connection:
        found = await links.find(connection, ORG, [f"r{number}" for number in range(10)])
    return {(item.entity, item.key): record for record, item in found.items()}


@pytest.mark.parametrize(("entity", "mine", "other"), [("price", "A|USD", "B|USD"), ("line", "A-1", "B-1")])
async def test_line_or_price_takes_its_record_from_an_older_link(
    store: Store, entity: str, mine: str, other: str
) -> None:
    await placed(store, link(entity, other, "r1"), link(entity, f"{other}2", "r2"))
    result = await placed(store, link(entity, mine, "r1"))
    assert [item.key for item in result.dropped] == [other]
    assert result.refused == {}
    assert await stored(store) == {(entity, mine): "r1", (entity, f"{other}2"): "r2"}


async def test_order_with_the_record_of_another_is_left_out_with_its_lines(store: Store) -> None:
    await placed(store, link("order", "A", "r1"))
    result = await placed(
        store, link("line", "B-1", "r2"), link("order", "B", "r1"), link("order", "C", "r3"), link("line", "C-1", "r4")
    )
    assert set(result.refused) == {("order", "B"), ("line", "B-1")}
    assert result.refused["order", "B"][1].key == "A"
    assert await stored(store) == {("order", "A"): "r1", ("order", "C"): "r3", ("line", "C-1"): "r4"}


async def test_links_that_exchange_records_are_both_stored(store: Store) -> None:
    await placed(store, link("customer", "A", "r1"), link("customer", "B", "r2"))
    result = await placed(store, link("customer", "A", "r2"), link("customer", "B", "r1"))
    assert result.refused == {}
    assert await stored(store) == {("customer", "A"): "r2", ("customer", "B"): "r1"}


async def test_link_that_cannot_move_keeps_its_record(store: Store) -> None:
    await placed(store, *(link("customer", key, record) for key, record in (("A", "r1"), ("B", "r2"), ("C", "r3"))))
    result = await placed(store, link("customer", "A", "r2"), link("customer", "B", "r3"))
    assert set(result.refused) == {("customer", "A"), ("customer", "B")}
    assert await stored(store) == {("customer", "A"): "r1", ("customer", "B"): "r2", ("customer", "C"): "r3"}


@pytest.mark.parametrize("entity", ["customer", "line"])
async def test_first_of_two_new_links_to_one_record_is_stored(store: Store, entity: str) -> None:
    result = await placed(store, link(entity, "A-1", "r1"), link(entity, "B-1", "r1"))
    assert set(result.refused) == {(entity, "B-1")}
    assert await stored(store) == {(entity, "A-1"): "r1"}
