"""Upgrade of histories: revision 0014 stored actions; now the column `event` has events in the past tense."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from sqlalchemy import text

from connector.errors import CommandError, StoreError
from connector.model.actions import Action, EventKind
from connector.model.events import Capture
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.store import order_history, schema
from connector.store.engine import Store
from tests.databases import Databases
from tests.unit.store.test_upgrade import NOW

INSERT = (
    "INSERT INTO order_events (order_number, sequence, at, actor, action, stage_before, stage_after, detail, request,"
    " request_digest) VALUES (:order, :sequence, :at, 'anna', :action, :stage, :stage, :detail, :request, :digest)"
)
CAPTURE = Capture(amount=Decimal(5))


@pytest.fixture(scope="module")
def upgraded_url(module_databases: Databases) -> str:
    """A database that was upgraded from revision 0014. The tests leave it as it is: what they write is refused."""
    url = module_databases.migrated("0014")

    async def fill_and_upgrade() -> None:
        store = await older(url)
        await schema.upgrade(store)
        await store.close()

    asyncio.run(fill_and_upgrade())
    return url


async def older(url: str) -> Store:
    """A store at revision 0014: an order with every action in its history, and one request."""
    store = Store.open(url)
    at = NOW.replace(" ", "T") if store.dialect == "sqlite" else NOW
    rows = [
        {"order": "O-1", "sequence": sequence, "at": at, "action": action.value, "stage": "placed", "detail": "{}",
         "request": None, "digest": None}
        for sequence, action in enumerate(Action, start=1)
    ]  # fmt: skip
    rows.append({**rows[0], "sequence": 99, "action": "capture", "detail": '{"amount":"5"}', "request": "till-1",
                 "digest": order_history.digest_of("O-1", "till-1", CAPTURE)})  # fmt: skip
    async with store.transaction() as uow:
        for statement in (
            "customers (number, name, version, updated_at) VALUES ('C-1', 'Ito', 1, :at)",
            "orders (number, customer, placed_at, currency, stage, version, updated_at, events)"
            " VALUES ('O-1', 'C-1', :at, 'USD', 'placed', 1, :at, 32)",
        ):
            await uow.connection.execute(text(f"INSERT INTO {statement}"), {"at": at})
        await uow.connection.execute(text(INSERT), rows)
    return store


async def test_every_stored_action_becomes_an_event_in_the_past_tense(upgraded: Store) -> None:
    await schema.check(upgraded)
    async with upgraded.reader() as connection:
        rows = await connection.execute(text("SELECT event FROM order_events WHERE sequence < 99 ORDER BY sequence"))
        assert list(rows.scalars()) == [action.happened.value for action in Action]


async def test_action_name_as_an_event_is_rejected_by_the_database(upgraded: Store) -> None:
    with pytest.raises(StoreError, match="order_events_event_ck"):
        async with upgraded.transaction() as uow:
            await uow.connection.execute(text("UPDATE order_events SET event = 'ship' WHERE sequence = 2"))


async def test_request_from_before_the_upgrade_is_still_compared(upgraded: Store) -> None:
    async with upgraded.transaction() as uow:
        transaction = OrderTransaction(uow, actor="anna")
        assert await transaction.is_replay(OrderCommand(number="O-1", event=CAPTURE, request="till-1"))
        other = Capture(amount=Decimal(6))
        with pytest.raises(CommandError, match="was used for another command"):
            await transaction.is_replay(OrderCommand(number="O-1", event=other, request="till-1"))


def test_every_action_has_one_event_kind() -> None:
    assert [action.happened for action in Action] == list(EventKind)
    assert [kind.action for kind in EventKind] == list(Action)


async def test_process_of_an_earlier_release_is_told_to_restart_after_the_upgrade(module_databases: Databases) -> None:
    store = await older(module_databases.migrated("0014"))
    await schema.upgrade(store)
    values = {"order": "O-1", "sequence": 100, "at": None, "action": "ship", "stage": "placed", "detail": "{}",
              "request": None, "digest": None}  # fmt: skip
    with pytest.raises(StoreError, match="no such table or column") as refused:
        async with store.transaction() as uow:
            await uow.connection.execute(text(INSERT), values)
    assert refused.value.hint == "Run `connector db upgrade`. If it has been upgraded already, restart this process."
    await store.close()
