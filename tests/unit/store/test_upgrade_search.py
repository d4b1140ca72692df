"""Upgrade of what people search for: orders by status, customers by email and phone."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from sqlalchemy import text

from connector.model.customer import Customer
from connector.model.record import Link
from connector.model.search_keys import email_key, name_words, phone_key, typed_phone_key
from connector.store import customers, derived_rows, links, schema
from connector.store.engine import Store
from connector.store.queries.backorders import load_backorders
from connector.store.queries.search import find_exact
from connector.store.queries.typed_text import list_named
from tests.databases import Databases
from tests.unit.store import samples
from tests.unit.store.test_upgrade import NOW

LINK = (
    'INSERT INTO links (org_id, entity, "key", sobject, salesforce_id, snapshot, synced_at)'
    " VALUES ('00D', :entity, :key, :entity, :key, :snapshot, :at)"
)
CUSTOMER = (
    "INSERT INTO customers (number, name, email, phone, version, updated_at)"
    " VALUES (:number, 'A', :email, :phone, 1, :at)"
)
NOTHING = {"waiting_orders": 0, "order_statuses": 0, "customer_searches": 0, "customer_words": 0}
PEOPLE = (("C-1", " Ann@Example.com", "+49 (170) 555-123"), ("C-2", None, "12"), ("C-3", "", None))


async def test_status_email_and_phone_are_filled_and_kept(databases: Databases) -> None:
    store = Store.open(databases.migrated("0050"))
    at = NOW.replace(" ", "T") if store.dialect == "sqlite" else NOW
    snapshots = {"W-1": {"Status": "Draft"}, "W-2": {"X__c": "\u0000"}, "C-1": {"Status": "Draft"}}
    async with store.transaction() as uow:
        for key, snapshot in snapshots.items():
            values = {"entity": "customer" if key == "C-1" else "order", "key": key, "snapshot": json.dumps(snapshot)}
            await uow.connection.execute(text(LINK), values | {"at": at})
        for number, email, phone in PEOPLE:
            values = {"number": number, "email": email, "phone": phone}
            await uow.connection.execute(text(CUSTOMER), values | {"at": at})
    await schema.upgrade(store)
    assert await derived_rows.repair(store) == NOTHING | {
        "order_statuses": 1,
        "customer_searches": 1,
        "customer_words": 3,
    }
    assert await derived_rows.repair(store) == NOTHING
    rows = text("SELECT customer, email_key, phone_key FROM customer_searches ORDER BY customer")
    async with store.reader() as connection:
        assert await links.statuses(connection, ["00D"], ["W-1", "W-2", "C-1"]) == {"W-1": "Draft"}
        filled = [tuple(row) for row in await connection.execute(rows)]
    assert filled == [(number, email_key(email), phone_key(phone)) for number, email, phone in PEOPLE[:1]]

    async with store.transaction() as uow:
        await customers.save(uow, [Customer(number="C-1", name="A", email="BO@example.com", phone="0171 22222")])
        link = Link(entity="order", key="W-2", sobject="Order", salesforce_id="W-2", snapshot={"Status": "Activated"})
        await links.put(uow, "00D", [link])
    async with store.reader() as connection:
        assert await links.list_statuses(connection, ["00D"]) == ["Activated", "Draft"]
        [row, *_] = [tuple(row) for row in await connection.execute(rows)]
    assert row == ("C-1", "bo@example.com", "222221710")
    await store.close()


def test_words_of_a_name_are_plain() -> None:
    assert name_words("Épicerie SØRENSEN & Söhne") == ["epicerie", "sorensen", "sohne"]
    assert name_words("O’Neill-Łuk, Straße GmbH GMBH") == ["oneill", "luk", "strasse", "gmbh"]
    assert name_words("北京 %_") == ["北京"]
    assert len(name_words(" ".join(f"w{number}" for number in range(50)))) == 12
    assert name_words("x" * 99) == ["x" * 40]


def test_phone_is_found_by_what_is_dialed() -> None:
    stored = phone_key("+49 (170) 555-123")
    assert stored == "32155507194"
    for typed in ("0170 555123", "00049 170 555123", "555-123", "+49170555123"):
        typed_key = typed_phone_key(typed)
        assert typed_key is not None
        assert stored.startswith(typed_key), typed
    for typed in ("123", "C-10023", "000000", "0170 555124"):
        typed_key = typed_phone_key(typed)
        assert typed_key is None or not stored.startswith(typed_key), typed


async def test_what_an_older_process_writes_is_repaired(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on beside the new schema, and writes nothing of what is stored only to be found."""
    monkeypatch.setattr(derived_rows, "PAGE", 1)
    await samples.stock(store)
    await samples.place(store, samples.order("W-1"), samples.order("W-2"))
    async with store.transaction() as uow:
        for number in ("W-1", "W-2"):
            snapshot = {"Status": "Draft"}
            link = Link(entity="order", key=number, sobject="Order", salesforce_id=number, snapshot=snapshot)
            await links.put(uow, "00D", [link])
    assert await derived_rows.repair(store) == NOTHING
    async with store.transaction() as uow:
        await uow.connection.execute(text("UPDATE links SET status = NULL WHERE key = 'W-2'"))
        await uow.connection.execute(text("UPDATE links SET status = 'Lost' WHERE key = 'W-1'"))
        await uow.connection.execute(text("UPDATE customers SET email = 'new@example.com' WHERE number = 'ALFKI'"))
        await uow.connection.execute(text("UPDATE customers SET name = 'Épicerie' WHERE number = 'ALFKI'"))
        await uow.connection.execute(text("DELETE FROM customer_words WHERE customer = 'BONAP'"))
        await uow.connection.execute(
            text("UPDATE orders SET stage = 'verified', events = 1, tracking_key = 't' WHERE number = 'W-1'")
        )
        await uow.connection.execute(
            text(
                "INSERT INTO waiting_lines (order_number, line, sku, quantity, rank, promised_by, placed_at)"
                " SELECT number, 1, 'CHAI', '9', 0, '9999-12-31', placed_at FROM orders WHERE number = 'W-2'"
            )
        )
    done = await derived_rows.repair(store)
    assert done == {"waiting_orders": 2, "order_statuses": 2, "customer_searches": 1, "customer_words": 2}
    assert await derived_rows.repair(store) == NOTHING
    async with store.reader() as connection:
        assert await links.statuses(connection, ["00D"], ["W-1", "W-2"]) == {"W-1": "Draft", "W-2": "Draft"}
        assert [hit.key for hit in await find_exact(connection, "NEW@example.com", with_contacts=True)] == ["ALFKI"]
        assert await list_named(connection, "epicerie", limit=2) == ["ALFKI"]
        [item] = await load_backorders(connection, ["CHAI"])
    assert [(line.number, line.quantity) for line in item.waiting] == [("W-1", Decimal(2))]
