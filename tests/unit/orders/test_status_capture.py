"""What it costs to publish stages and holds of orders: one statement in a transaction that has any, none in others."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import select

from connector.model.events import Allocate, Cancel, Confirm, Event, PlaceHold, ReleaseHold, Verify
from connector.model.holds import Hold
from connector.orders.command import OrderCommand
from connector.orders.policy.rules import standard
from connector.orders.service import OrderService
from connector.store import event_tables, stock
from connector.store.engine import Store
from tests.unit.orders.test_transaction import opened

ORDERS = ("1", "2", "3")


async def statements_of(store: Store, *events: Event) -> list[str]:
    """The statements of one transaction that carries these events out on all orders."""
    statements: list[str] = []

    def note(*call: Any) -> None:
        statements.append(" ".join(str(call[2]).split()[:3]))

    sqlalchemy_event.listen(store._engine.sync_engine, "before_cursor_execute", note)
    try:
        commands = [OrderCommand(number=number, event=each) for number in ORDERS for each in events]
        await OrderService(store, standard).execute_all(commands, actor="test")
    finally:
        sqlalchemy_event.remove(store._engine.sync_engine, "before_cursor_execute", note)
    return statements


@pytest.mark.parametrize("published", [False, True])
async def test_new_stages_cost_one_statement_and_other_changes_none(store: Store, *, published: bool) -> None:
    await opened(store, *ORDERS)
    store.publishes_status = published
    insert = ["INSERT INTO outgoing_events"] if published else []

    def of_events(statements: list[str]) -> list[str]:
        return [statement for statement in statements if "outgoing_events" in statement]

    verified = await statements_of(store, Verify(), Confirm())
    held = await statements_of(store, PlaceHold(hold=Hold.CREDIT), PlaceHold(hold=Hold.FRAUD))
    back = await statements_of(store, ReleaseHold(hold=Hold.CREDIT), PlaceHold(hold=Hold.CREDIT))
    allocated = await statements_of(store, ReleaseHold(hold=Hold.CREDIT), ReleaseHold(hold=Hold.FRAUD))
    async with store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(100)})
    quiet = await statements_of(store, Allocate(lines={1: Decimal(1)}))
    canceled = await statements_of(store, Cancel())
    assert [of_events(item) for item in (verified, held, back, allocated, quiet, canceled)] == [
        insert, insert, [], insert, [], insert,
    ]  # fmt: skip
    async with store.reader() as connection:
        rows = await connection.execute(
            select(event_tables.outgoing_events).order_by(event_tables.outgoing_events.c.id)
        )
    stages = [orjson.loads(row.fields)["Stage__c"] for row in rows if row.order_number == "1"]
    assert stages == (["verified", "confirmed", "confirmed", "confirmed", "canceled"] if published else [])
