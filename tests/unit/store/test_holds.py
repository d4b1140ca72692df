"""Holds of values: several transactions change those of one link, and pages and counts of many read few."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

import pytest

from connector.model.record import Link
from connector.store import links, orgs
from connector.store.engine import Store
from connector.store.queries import held_links
from connector.store.queries.held_links import HeldCount
from connector.store.unit_of_work import UnitOfWork
from tests.db_locks import blocked

ORG = "00D000000000001AAA"
NAME = ("order", "W-1")


async def hold(store: Store, **values: str) -> None:
    link = Link(entity="order", key="W-1", sobject="Order", salesforce_id="801", snapshot={"PoNumber": "1"})
    async with store.transaction() as uow:
        await links.put(uow, ORG, [link])
        await links.hold(uow, ORG, {NAME: values}, {})


async def held(store: Store) -> object:
    async with store.reader() as connection:
        return (await links.get(connection, ORG, "order", ["W-1"]))["W-1"].held


async def end(uow: UnitOfWork, **values: str) -> None:
    await links.end_holds(uow, ORG, {NAME: values})


async def test_hold_of_another_value_of_the_field_is_not_ended(store: Store) -> None:
    await hold(store, PoNumber="bad", Channel__c="web", Description="x")
    async with store.transaction() as uow:
        await links.hold(uow, ORG, {NAME: {"PoNumber": "worse"}}, {})  # by an undo, after the worker compared "bad"
        await end(uow, PoNumber="bad", Channel__c="web")
    assert await held(store) == {"PoNumber": "worse", "Description": "x"}
    async with store.transaction() as uow:
        await end(uow, PoNumber="worse", Description="x")
    assert await held(store) == {}


async def test_ending_a_hold_waits_for_who_holds_another_field(postgres_store: Store) -> None:
    store = postgres_store
    await hold(store, PoNumber="bad")
    async with store.transaction() as undo:
        await links.hold(undo, ORG, {NAME: {"Channel__c": "wrong"}}, {})
        ending = asyncio.create_task(store.transact(partial(end, PoNumber="bad")))
        await blocked(store, 1)
    await ending
    assert await held(store) == {"Channel__c": "wrong"}


async def test_hold_waits_for_who_releases_another_field(postgres_store: Store) -> None:
    store = postgres_store
    await hold(store, PoNumber="bad")

    async def hold_another(uow: UnitOfWork) -> None:
        await links.hold(uow, ORG, {NAME: {"Channel__c": "wrong"}}, {})

    async with store.transaction() as release:
        await links.hold(release, ORG, {}, {NAME: ["PoNumber"]})
        holding = asyncio.create_task(store.transact(hold_another))
        await blocked(store, 1)
    await holding
    assert await held(store) == {"Channel__c": "wrong"}


async def put_held(store: Store, number: int, *, differing: Iterable[int]) -> None:
    """So many orders with a held value; the org has another value than ours in the differing ones only."""
    found = [(f"W-{at:02}", "theirs" if at in set(differing) else "ours") for at in range(number)]
    async with store.transaction() as uow:
        await orgs.put(uow, ORG, login_url="", instance_url="https://org.example", is_active=True)
        await links.put(
            uow,
            ORG,
            [
                Link(entity="order", key=key, sobject="Order", salesforce_id=key, snapshot={"PoNumber": value})
                for key, value in found
            ],
        )
        await links.hold(uow, ORG, {("order", key): {"PoNumber": "ours"} for key, _ in found}, {})


async def test_pages_of_held_values_read_few_records_that_are_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_links, "MOST_SKIPPED", 3)
    await put_held(store, 14, differing=(0, 9, 10, 11))
    pages = []
    after = None
    async with store.reader() as connection:
        while len(pages) < 9:
            page, after = await held_links.list_page(connection, [ORG], after=after, limit=2)
            pages.append([record.key for record in page])
            if after is None:
                break
    assert pages == [["W-00"], ["W-09"], ["W-10", "W-11"]]


async def test_many_held_records_are_counted_without_their_values(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_links, "MOST_COUNTED", 7)

    async def count() -> HeldCount:
        async with store.reader() as connection:
            return await held_links.count(connection)

    assert await count() == HeldCount(number=0)
    await put_held(store, 9, differing=(8,))
    assert await count() == HeldCount(number=1)
    monkeypatch.setattr(held_links, "MOST_SKIPPED", 5)
    assert await count() == HeldCount(number=7, of_records=True, is_more=True)
    monkeypatch.setattr(held_links, "MOST_COUNTED", 9)
    assert await count() == HeldCount(number=9, of_records=True)
