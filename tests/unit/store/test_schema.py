"""The migrations create the schema of tables.py; missing, older and newer schemas are recognized."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from connector.errors import RetryClass, StoreError
from connector.store import schema
from connector.store.engine import Store
from connector.store.tables import metadata
from tests.databases import Databases

for file in Path(schema.__file__).parent.glob("*_tables.py"):
    import_module(f"connector.store.{file.stem}")  # each adds its tables to the metadata


@pytest.fixture
async def empty(databases: Databases) -> AsyncIterator[Store]:
    store = Store.open(databases.empty())
    yield store
    await store.close()


def plan_of(connection: Connection) -> dict[str, Any]:
    """Every table with its columns, keys, checks and indexes, as the database reports them."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": {
                column["name"]: (repr(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            },
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": sorted(inspector.get_foreign_keys(table), key=str),
            "checks": sorted(inspector.get_check_constraints(table), key=str),
            "indexes": sorted((_told(index) for index in inspector.get_indexes(table)), key=str),
            "unique": sorted(inspector.get_unique_constraints(table), key=str),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def _told(index: Any) -> dict[str, Any]:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}  # a partial one's WHERE
    return {**index, "dialect_options": options}


async def test_migrations_and_tables_agree(store: Store, empty: Store) -> None:
    await empty.migrate(metadata.create_all)
    async with store.reader() as migrated, empty.reader() as declared:
        by_migrations = await migrated.run_sync(plan_of)
        by_tables = await declared.run_sync(plan_of)
    assert set(by_migrations) == set(metadata.tables)
    assert by_migrations == by_tables
    assert by_migrations["orders"]["checks"]
    assert by_migrations["orders"]["foreign keys"]


def test_list_of_revisions_is_complete() -> None:
    config = Config()
    config.set_main_option("script_location", "connector:store/migrations")
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == schema.REVISIONS


async def test_second_upgrade_changes_nothing(empty: Store) -> None:
    assert await schema.current(empty) is None
    await schema.upgrade(empty)
    await schema.upgrade(empty)
    assert await schema.current(empty) == schema.HEAD
    await schema.check(empty)


async def test_concurrent_upgrades_succeed(databases: Databases) -> None:
    url = databases.empty()
    stores = [Store.open(url) for _ in range(3)]
    await asyncio.gather(*(schema.upgrade(store) for store in stores))
    await schema.check(stores[0])
    for store in stores:
        await store.close()


async def test_check_of_a_missing_file_does_not_create_it(tmp_path: Path) -> None:
    file = tmp_path / "absent.db"
    store = Store.open(f"sqlite:///{file}")
    with pytest.raises(StoreError, match="has no tables yet"):
        await schema.check(store)
    await store.close()
    assert not file.exists()


async def test_missing_and_newer_schemas_are_reported(empty: Store, store: Store) -> None:
    with pytest.raises(StoreError, match="has no tables yet") as absent:
        await schema.check(empty)
    assert absent.value.hint == "Run `connector db upgrade`."
    async with store.transaction() as uow:
        await uow.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer release"):
        await schema.check(store)


async def test_older_schema_is_reported_with_its_revision(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9998"))
    monkeypatch.setattr(schema, "HEAD", "9998")
    with pytest.raises(StoreError, match="this release needs 9998") as older:
        await schema.check(store)
    assert older.value.hint == "Run `connector db upgrade`."


async def test_query_on_a_database_without_tables_says_what_to_do(empty: Store) -> None:
    with pytest.raises(StoreError, match="no such table or column") as caught:
        async with empty.reader() as connection:
            await connection.execute(text("SELECT 1 FROM orders"))
    assert caught.value.hint == "Run `connector db upgrade`. If it has been upgraded already, restart this process."
    assert caught.value.retry_class is RetryClass.CONFIG


async def test_foreign_keys_are_enforced_after_an_upgrade(store: Store) -> None:
    await schema.upgrade(store)
    with pytest.raises(StoreError, match="refused a value"):
        async with store.transaction() as uow:
            await uow.connection.execute(
                text("INSERT INTO prices (sku, currency, unit_price) VALUES ('NONE', 'USD', '1')")
            )


def test_store_does_not_import_alembic_before_an_upgrade() -> None:
    code = "import sys, connector.store.schema; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
