"""Holds of values: several transactions change those of one link."""

from __future__ import annotations

import asyncio
from functools import partial

from connector.model.record import Link
from connector.store import links
from connector.store.engine import Store
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
