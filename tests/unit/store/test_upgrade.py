"""Upgrade of a database with orders in progress: nothing is lost, and the orders can be completed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.events import Deliver
from connector.model.stage import Stage
from connector.model.stock import Reservation
from connector.model.transitions import apply
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.store import order_history, orders, schema, stock
from connector.store.engine import Store
from tests.databases import Databases
from tests.order_builders import as_history_keeps

NOW = "2026-03-01 12:00:00.000000+00:00"
BEGUN = (
    '{"stage": "placed", "lines": {"1": {"ordered": "10", "total": "8491.5", "allocated": "0", "picked": "0",'
    ' "shipped": "0", "delivered": "0", "returned": "0", "credited": "0", "cancelled": "0"}}, "holds": [],'
    ' "declined": false, "shipments": [], "freight": "0", "invoiced": "0", "authorised": "0",'
    ' "captured": "0", "refunded": "0"}'
)
EVENTS = (
    ("begin", None, "placed", BEGUN),
    ("verify", "placed", "verified", "{}"),
    ("confirm", "verified", "confirmed", "{}"),
    ("allocate", "confirmed", "confirmed", '{"lines": {"1": "10"}}'),
    ("pick", "confirmed", "confirmed", '{"lines": {"1": "6"}}'),
    ("advance", "confirmed", "fulfilling", '{"to": "fulfilling"}'),
    ("ship", "fulfilling", "fulfilling", '{"lines": {"1": "2"}, "on": "2026-03-01", "carrier": "Swift Post"}'),
)


@pytest.fixture
async def older(databases: Databases) -> AsyncIterator[Store]:
    """A database at revision 0006: an order over 8,491.50 yen, with 10 pieces reserved, 6 picked and 2 shipped."""
    store = Store.open(databases.migrated("0006"))
    sqlite = store.dialect == "sqlite"
    at = NOW.replace(" ", "T") if sqlite else NOW
    rows: list[tuple[str, dict[str, Any]]] = [
        ("customers (number, name, version, updated_at) VALUES ('C-1', 'Ito', 1, :at)", {}),
        ("products (sku, name, active, version, updated_at) VALUES ('TEA', 'Tea', true, 1, :at)", {}),
        (
            "orders (number, customer, placed_at, currency, stage, version, updated_at, events, captured, declined)"
            " VALUES ('O-1', 'C-1', :at, 'JPY', 'fulfilling', 8, :at, 7, '0', false)",
            {},
        ),
        (
            "order_lines (order_number, number, sku, quantity, unit_price, discount, allocated, picked, shipped)"
            " VALUES ('O-1', 1, 'TEA', '10', '849.15', '0', '10', '6', '2')",
            {},
        ),
        ("shipments (order_number, number, status, carrier, shipped_on, lines)"
         " VALUES ('O-1', 1, 'in_transit', 'Swift Post', '2026-03-01', '{\"1\": \"2\"}')", {}),
        ("stock (sku, warehouse, on_hand, reserved) VALUES ('TEA', 'EAST', '5', '5'), ('TEA', 'WEST', '3', '3')", {}),
        ("reservations (order_number, line, warehouse, quantity)"
         " VALUES ('O-1', 1, 'EAST', '5'), ('O-1', 1, 'WEST', '3')", {}),
    ]  # fmt: skip
    async with store.transaction() as uow:
        for row, values in rows:
            statement = row.replace("true", "1").replace("false", "0") if sqlite else row
            await uow.connection.execute(
                text(f"INSERT INTO {statement}"), {"at": at} | values if ":at" in row else values
            )
        for sequence, (action, before, after, detail) in enumerate(EVENTS, start=1):
            await uow.connection.execute(
                text(
                    "INSERT INTO order_events"
                    " (order_number, sequence, at, actor, action, stage_before, stage_after, detail)"
                    " VALUES ('O-1', :sequence, :at, 'anna', :action, :before, :after, :detail)"
                ),
                {"sequence": sequence, "at": at, "action": action, "before": before, "after": after, "detail": detail},
            )
    yield store
    await store.close()


async def test_orders_in_progress_survive_the_upgrade_and_can_be_completed(older: Store) -> None:
    await schema.upgrade(older)
    await schema.check(older)
    async with older.reader() as connection:
        [order] = await orders.load(connection, ["O-1"])
        first, *more = await order_history.read(connection, "O-1")
        held = await stock.load_reservations(connection, ["O-1"])
    state = first.initial_state
    assert state is not None
    for entry in more:
        state = apply(state, entry.event)
    assert as_history_keeps(state) == as_history_keeps(order.state)
    assert (state.due, order.tax, order.header.ship_complete) == (Decimal(8492), 0, False)
    # 4 of the 6 picked pieces have not shipped: they are recorded at the first reservation.
    assert held == {
        ("O-1", 1, "EAST"): Reservation(quantity=Decimal(5), picked=Decimal(4)),
        ("O-1", 1, "WEST"): Reservation(quantity=Decimal(3)),
    }
    async with older.transaction() as uow:
        transaction = OrderTransaction(uow, actor="anna")
        for action in (Action.PICK, Action.SHIP, Action.INVOICE, Action.CAPTURE):
            await transaction.execute_all([OrderCommand(number="O-1", event=make_event(action))])
        for parcel in (1, 2):
            [state] = await transaction.execute_all([OrderCommand(number="O-1", event=Deliver(shipment=parcel))])
    assert (state.stage, state.captured) == (Stage.COMPLETED, Decimal(8492))
    async with older.reader() as connection:
        levels = await stock.levels(connection, ["TEA"])
    assert {level.on_hand for level in levels.values()} == {0}
