"""A database with keys of several spellings is upgraded: one spelling each, nothing lost, twins kept apart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from connector.cli.database import _renamed
from connector.model.change import EntityKind
from connector.model.keys import is_normal
from connector.store import customers, journal, links, orders, outbox, products, schema, stock
from connector.store.engine import Store
from tests.conftest import Databases
from tests.unit.store.test_upgrade import NOW, _to

ROWS = (
    "customers (number, name, version, updated_at) VALUES ('ANN', 'Ann', 1, :at), ('BOB ', 'Bob', 1, :at)",
    "products (sku, name, active, version, updated_at) VALUES ('A', 'A', true, 1, :at), ('A ', 'Other', true, 1, :at)",
    "prices (sku, currency, unit_price) VALUES ('A', 'USD', '10'), ('A ', 'USD', '99')",
    "orders (number, customer, placed_at, currency, stage, version, updated_at, events, declined, tracking_key)"
    " VALUES ('M-1', 'ANN', :at, 'USD', 'placed', 1, :at, 0, false, 't1'),"
    " ('M-1 ', 'BOB ', :at, 'USD', 'placed', 2, :at, 2, false, 't2'),"
    " ('N\u00a01', 'ANN', :at, 'USD', 'placed', 1, :at, 0, false, NULL),"
    " ('\u200b', 'ANN', :at, 'USD', 'placed', 1, :at, 0, false, NULL)",
    "order_lines (order_number, number, sku, quantity, unit_price, discount)"
    " VALUES ('M-1', 1, 'A', '1', '10', '0'), ('M-1 ', 1, 'A ', '7', '10', '0'), ('N\u00a01', 1, 'A', '2', '10', '0')",
    "order_events (order_number, sequence, at, actor, action, stage_after, detail)"
    " VALUES ('M-1 ', 2, :at, 'anna', 'change', 'placed', :detail)",
    "stock (sku, warehouse, on_hand, reserved) VALUES ('A', 'EAST', '5', '0'), ('A', 'EAST ', '3', '0'),"
    " ('A ', 'EAST', '1', '0')",
    'links (org_id, entity, "key", parent, sobject, salesforce_id, snapshot, synced_at)'
    " VALUES ('00D', 'order', 'M-1 ', NULL, 'Order', '801', '{}', :at),"
    " ('00D', 'line', 'M-1 -1', 'M-1 ', 'OrderItem', '802', '{}', :at),"
    " ('00D', 'price', 'A |USD', 'A ', 'PricebookEntry', '01u', '{}', :at)",
    'outbox (entity, "key", slot, lane, version, state, due_at, attempts, captured_at)'
    " VALUES ('order', 'M-1 ', 1, 0, 4, 'due', :at, 0, :at)",
    "tokens (name, digest, role, created_at) VALUES ('desk', 'd1', 'ops', :at), ('desk ', 'd2', 'ops', :at)",
)


@pytest.fixture
async def older(databases: Databases) -> AsyncIterator[Store]:
    store = Store.open(databases.empty())
    await store.migrate(_to("0012"))
    at = NOW.replace(" ", "T") if store.dialect == "sqlite" else NOW
    detail = '{"terms": {"1": {"sku": "A ", "quantity": "7", "discount": "0"}}, "warehouse": "EAST "}'
    async with store.transaction() as uow:
        for row in ROWS:
            statement = row.replace("true", "1").replace("false", "0") if store.dialect == "sqlite" else row
            values = {name: value for name, value in (("at", at), ("detail", detail)) if f":{name}" in statement}
            await uow.connection.execute(text(f"INSERT INTO {statement}"), values)
    yield store
    await store.close()


async def test_stored_keys_get_one_spelling_and_twins_stay_apart(older: Store) -> None:
    await schema.upgrade(older)
    async with older.reader() as connection:
        numbers = [key async for key in orders.keys(connection)]
        assert sorted(numbers) == ["M-1", "M-1~2", "N 1", "unnamed"]
        ann, bob, other, unnamed = await orders.load(connection, ["M-1", "M-1~2", "N 1", "unnamed"])
        assert [item.customer.number for item in (ann, bob, other, unnamed)] == ["ANN", "BOB", "ANN", "ANN"]
        assert [(line.product.sku, int(line.quantity)) for line in (*ann.lines, *bob.lines)] == [("A", 1), ("A~2", 7)]
        assert (ann.tracking_key, bob.tracking_key, bob.version) == ("t1", "t2", 2)
        assert [item.name for item in await customers.load(connection, ["ANN", "BOB"])] == ["Ann", "Bob"]
        plain, twin = await products.load(connection, ["A", "A~2"])
        assert [int(item.prices[0].unit_price) for item in (plain, twin)] == [10, 99]
        levels = await stock.levels(connection, ["A", "A~2"])
        assert {place: int(level.on_hand) for place, level in levels.items()} == {
            ("A", "EAST"): 5, ("A", "EAST~2"): 3, ("A~2", "EAST"): 1,
        }  # fmt: skip
        detail = json.loads((await connection.execute(text("SELECT detail FROM order_events"))).scalar_one())
        assert (detail["terms"]["1"]["sku"], detail["warehouse"]) == ("A~2", "EAST~2")
        assert list(await links.get(connection, "00D", "order", ["M-1~2"])) == ["M-1~2"]
        [line] = (await links.children(connection, "00D", "line", ["M-1~2"]))["M-1~2"].values()
        assert line.key == "M-1~2-1"
        [price] = (await links.children(connection, "00D", "price", ["A~2"]))["A~2"].values()
        assert price.key == "A~2|USD"
        due = await outbox.find(connection, EntityKind.ORDER, ["M-1", "M-1~2", "N 1"])
        assert (due.keys(), due["M-1~2"].version) == ({"M-1~2", "N 1"}, 4)
        [entry] = await journal.read(connection, "order", "M-1~2", limit=5)
        assert (entry.action, entry.detail["from"]) == ("renamed", "M-1 ")
        assert "M-1 is another order" in json.dumps(entry.detail)
        names = list((await connection.execute(text("SELECT name FROM tokens ORDER BY name"))).scalars())
        assert names == ["desk", "desk~2"]
        assert all(is_normal(key) for key in (*numbers, *names))
    await schema.check(older)


async def test_upgrade_tells_what_it_renamed(older: Store) -> None:
    await schema.upgrade(older)
    told = await _renamed(older)
    assert "Order 'M-1 ' is M-1~2 from now on: a key has one spelling; M-1 is another order." in told
    assert len(told) == 5
