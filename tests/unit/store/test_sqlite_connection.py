"""A statement takes one turn of SQLite's thread, and says what any cursor says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import column, insert, select, table, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.engine import Store

TEAS = table("teas", column("id"), column("name"))


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    store = Store.open(f"sqlite:///{tmp_path / 'teas.db'}")
    async with store.scratch() as opened:
        await opened.execute(text("CREATE TABLE teas (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"))
        yield opened
    await store.close()


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the thread was asked to do."""
    asked: list[str] = []
    execute = aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        asked.append(work.__name__)
        return await execute(self, work, *args, **options)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    return asked


async def test_each_statement_takes_one_turn(connection: AsyncConnection, turns: list[str]) -> None:
    rows = [{"id": number, "name": f"Tea {number}"} for number in range(3)]
    assert (await connection.execute(insert(TEAS), rows)).rowcount == 3
    assert len(turns) == 1
    assert (await connection.execute(select(TEAS.c.name).where(TEAS.c.id > 0))).scalars().all() == ["Tea 1", "Tea 2"]
    assert len(turns) == 2
    changed = await connection.execute(text("UPDATE teas SET name = name || '!' WHERE id < 2"))
    assert changed.rowcount == 2
    returned = await connection.execute(text("INSERT INTO teas (name) VALUES ('Oolong') RETURNING id, name"))
    assert returned.mappings().all() == [{"id": 3, "name": "Oolong"}]
    assert len(turns) == 4


async def test_what_sqlite_refuses_is_an_error_and_the_connection_goes_on(connection: AsyncConnection) -> None:
    with pytest.raises(OperationalError, match="no such table: coffees"):
        await connection.execute(text("SELECT * FROM coffees"))
    await connection.execute(text("INSERT INTO teas (id, name) VALUES (1, 'Assam')"))
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: teas\.name"):
        await connection.execute(insert(TEAS), [{"id": 2, "name": "Assam"}, {"id": 3, "name": "Darjeeling"}])
    assert (await connection.execute(select(TEAS.c.id).order_by(TEAS.c.id))).scalars().all() == [1]


async def test_a_streamed_result_is_fetched_part_by_part(connection: AsyncConnection, turns: list[str]) -> None:
    await connection.execute(insert(TEAS), [{"id": number, "name": f"Tea {number}"} for number in range(30)])
    turns.clear()
    result = await connection.stream(select(TEAS.c.id).order_by(TEAS.c.id).execution_options(yield_per=10))
    assert [row.id async for row in result] == list(range(30))
    assert "fetchmany" in turns
