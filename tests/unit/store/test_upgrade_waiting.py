"""Upgrade of back-orders: the lines that wait are found in open orders whose stock is managed here, exactly."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from sqlalchemy import text

from connector.store import schema
from connector.store.engine import Store
from connector.store.queries.backorders import load_backorders
from tests.databases import Databases
from tests.unit.store.test_upgrade import NOW

ROWS = (
    "customers (number, name, version, updated_at) VALUES ('ANN', 'Ann', 1, :at)",
    "products (sku, name, active, version, updated_at) VALUES ('A', 'A', true, 1, :at)",
    "orders (number, customer, placed_at, currency, stage, version, updated_at, events, priority, promised_on,"
    " tracking_key) VALUES"
    " ('W-1', 'ANN', :at, 'USD', 'verified', 1, :at, 2, 0, NULL, 't1'),"
    " ('W-2', 'ANN', :at, 'USD', 'confirmed', 1, :at, 2, 3, '2026-03-05', 't2'),"
    " ('W-3', 'ANN', :at, 'USD', 'placed', 1, :at, 1, 0, NULL, 't3'),"  # does not wait yet
    " ('W-4', 'ANN', :at, 'USD', 'confirmed', 1, :at, 0, 0, NULL, NULL),"  # only imported
    " ('W-5', 'ANN', :at, 'USD', 'fulfilling', 1, :at, 3, 0, NULL, NULL)",  # imported, and picked here
    "order_lines (order_number, number, sku, quantity, discount, allocated, picked, canceled) VALUES"
    " ('W-1', 1, 'A', '0.8', '0', '0.1', '0', '0'), ('W-1', 2, 'A', '0.8', '0', '0.1', '0', '0.7'),"
    " ('W-2', 1, 'A', '2', '0', '0', '0', '0'), ('W-3', 1, 'A', '5', '0', '0', '0', '0'),"
    " ('W-4', 1, 'A', '5', '0', '0', '0', '0'), ('W-5', 7, 'A', '3', '0', '1', '1', '0')",
    "order_events (order_number, sequence, at, actor, event, stage_before, stage_after, detail) VALUES"
    " ('W-5', 2, :at, 'ann', 'allocated', NULL, 'confirmed', '{}')",
)


async def test_lines_that_wait_are_found(databases: Databases) -> None:
    store = Store.open(databases.migrated("0054"))
    at = NOW.replace(" ", "T") if store.dialect == "sqlite" else NOW
    async with store.transaction() as uow:
        for row in ROWS:
            await uow.connection.execute(text(f"INSERT INTO {row}"), {"at": at})
    await schema.upgrade(store)
    async with store.reader() as connection:
        [item] = await load_backorders(connection, ["A", "B"])
        [counted] = await load_backorders(connection, ["A"], listed=0)
    found = [(line.number, line.line, line.quantity, line.priority, line.promised_on) for line in item.waiting]
    assert found == [
        ("W-2", 1, Decimal(2), 3, date(2026, 3, 5)), ("W-1", 1, Decimal("0.7"), 0, None),
        ("W-5", 7, Decimal(2), 0, None),
    ]  # fmt: skip
    assert (item.quantity, item.lines, item.oldest_promise) == (Decimal("4.7"), 3, date(2026, 3, 5))
    assert (counted.quantity, counted.lines, counted.short) == (Decimal("4.7"), 3, Decimal("4.7"))
    await store.close()
