"""Connections to SQLite that need one turn of their thread for each statement.

aiosqlite runs SQLite in a thread. SQLAlchemy's adapter goes there four times for a statement: to create a cursor, to
execute, to fetch the rows and to close the cursor. Each turn wakes the thread and then the event loop, which takes more
CPU than a small statement. Here, all four are one turn, and so is the BEGIN of a transaction that takes no lock.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_cursor
from sqlalchemy.util import EMPTY_DICT


class _Result:
    """What is left of a cursor when its statement has run and its rows are fetched."""

    __slots__ = ("arraysize", "description", "lastrowid", "rowcount", "rows")

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self.rows = cursor.fetchall() if cursor.description else []
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid
        self.arraysize = cursor.arraysize

    def close(self) -> None:
        """The cursor is closed already."""


_Parameters = Sequence[Any] | Mapping[str, Any]


def _begin_and(begin: str, work: Callable[..., _Result], connection: sqlite3.Connection, *arguments: Any) -> _Result:
    connection.execute(begin).close()
    return work(connection, *arguments)


def _execute(connection: sqlite3.Connection, statement: str, parameters: _Parameters) -> _Result:
    cursor = connection.cursor()
    try:
        cursor.execute(statement, parameters)
        return _Result(cursor)
    finally:
        cursor.close()


def _execute_many(connection: sqlite3.Connection, statement: str, parameters: Sequence[_Parameters]) -> _Result:
    cursor = connection.cursor()
    try:
        cursor.executemany(statement, parameters)
        return _Result(cursor)
    finally:
        cursor.close()


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    __slots__ = ()
    _awaitable_cursor_close = False

    def __init__(self, adapt_connection: AsyncAdapt_dbapi_connection) -> None:
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection
        self._cursor: Any = None
        self._rows = deque()
        self._soft_closed_memoized = EMPTY_DICT

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        return await self._run(_execute, operation, () if parameters is None else parameters)

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        return await self._run(_execute_many, operation, seq_of_parameters)

    async def _run(self, work: Any, operation: str, parameters: Any) -> Any:
        adapted, connection = cast(SqliteConnection, self._adapt_connection), cast(Any, self._connection)
        async with adapted._execute_mutex:
            begin = adapted.take_begin()
            first = (_begin_and, begin, work) if begin else (work,)
            result = await connection._execute(*first, connection._conn, operation, parameters)
        self._cursor = result
        self._rows = deque(result.rows)
        return result


class SqliteConnection(AsyncAdapt_aiosqlite_connection):
    """Like the connection that it is made of, with fewer turns of its thread. Only streamed results, whose rows are
    fetched part by part, go the old way."""

    __slots__ = ("_begin",)
    _cursor_cls = _Cursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self._begin = ""

    @classmethod
    def of(cls, connection: AsyncAdapt_aiosqlite_connection) -> SqliteConnection:
        return cls(connection.dbapi, connection._connection)

    def begin_with_next(self, begin: str) -> None:
        """Run `begin` in the turn of the next statement. It must not need a lock, which may not be free."""
        self._begin = begin

    def take_begin(self) -> str:
        """Return what is to be run before the next statement, and forget it."""
        begin, self._begin = self._begin, ""
        return begin

    def cursor(self, server_side: bool = False) -> Any:
        if server_side and (begin := self.take_begin()):
            self.execute(begin)
        return super().cursor(server_side)

    def commit(self) -> None:
        if not self.take_begin():  # else nothing was run
            super().commit()

    def rollback(self) -> None:
        if not self.take_begin():
            super().rollback()
