"""One cache of compiled SQL statements for all stores of a process.

SQLAlchemy keeps a cache for each engine, and every test opens an engine of its own: it would compile the same
statements again and again.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def share_compiled_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the same cache to every store that is opened from now on. Its keys have the dialect of the engine: here, all
    dialects of a class are equal."""
    compiled: dict[Any, Any] = {}

    def create(url: Any, **options: Any) -> AsyncEngine:
        return create_async_engine(url, execution_options={"compiled_cache": compiled}, **options)

    monkeypatch.setattr("connector.store.engine.create_async_engine", create)
    for dialect in (SQLiteDialect_aiosqlite, PGDialectAsync_psycopg):
        monkeypatch.setattr(dialect, "__eq__", lambda self, other: type(self) is type(other))
        monkeypatch.setattr(dialect, "__hash__", lambda self: hash(type(self)))
