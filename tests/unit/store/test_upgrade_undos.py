"""Upgrade of a database in which one plan of an undo was carried out twice: both are kept, and it happens no more."""

from __future__ import annotations

from sqlalchemy import text

from connector.store import schema, undos
from connector.store.engine import Store
from tests.databases import Databases
from tests.unit.store.test_upgrade import NOW


async def test_undos_of_one_plan_are_kept_apart(databases: Databases) -> None:
    store = Store.open(databases.migrated("0053"))
    at = NOW.replace(" ", "T") if store.dialect == "sqlite" else NOW
    row = "INSERT INTO undos (run, org_id, plan, actor, created_at, ended_at, total, counts, left_alone) VALUES"
    statement = text(f"{row} ('resync-1', '00D', 'p', 'ann', '{at}', '{at}', 3, '{{}}', '[]')")
    async with store.transaction() as uow:
        for _ in range(2):
            await uow.connection.execute(statement)
    await schema.upgrade(store)
    async with store.reader() as connection:
        stored = await undos.list_of_run(connection, "resync-1")
    assert [(item.plan, item.reached, item.renewed_at) for item in stored] == [
        ("p-2", 3, stored[0].created_at), ("p", 3, stored[0].created_at),
    ]  # fmt: skip
    async with store.transaction() as uow:
        again = await undos.create(uow, "00D", "resync-1", plan="p", total=1, counts={}, left_alone=[], actor="ben")
    assert again is None
    await store.close()
