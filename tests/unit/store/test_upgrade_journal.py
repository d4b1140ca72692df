"""Upgrade of the journal: who did something was part of the detail, and is a column now."""

from __future__ import annotations

import json

from sqlalchemy import text

from connector.store import journal, schema
from connector.store.engine import Store
from connector.store.journal import AuditFilter
from tests.databases import Databases
from tests.unit.store.test_upgrade import NOW

ENTRIES = (
    ("job", "prune", "paused", {"actor": "ann"}),
    ("order", "1", "replayed", {"by": "ben"}),
    ("order", "1", "received", {"by": "005000000000001AAA"}),  # a user of the org, not an operator here
    ("topic", "/event/Order_Status__e", "discarded", {"events": 3}),
    ("order", "2", "message retried", {"message": "invoice", "by": "cleo"}),
)
INSERT = 'INSERT INTO journal (at, entity, "key", action, detail) VALUES (:at, :entity, :key, :action, :text)'


async def test_operators_of_earlier_entries_are_in_the_audit(databases: Databases) -> None:
    store = Store.open(databases.migrated("0035"))
    at = NOW.replace(" ", "T") if store.dialect == "sqlite" else NOW
    async with store.transaction() as uow:
        for entity, key, action, detail in ENTRIES:
            values = {"at": at, "entity": entity, "key": key, "action": action, "text": json.dumps(detail)}
            await uow.connection.execute(text(INSERT), values)
    await schema.upgrade(store)
    async with store.reader() as connection:
        found = await journal.list_actions(connection, AuditFilter(), limit=10)
    assert [(entry.action, entry.actor) for entry in found] == [
        ("message retried", "cleo"), ("replayed", "ben"), ("paused", "ann"),
    ]  # fmt: skip
    await store.close()
