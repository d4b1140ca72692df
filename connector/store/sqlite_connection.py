"""Connections to SQLite that need at most one turn of their thread for each statement.

aiosqlite runs SQLite in a thread. SQLAlchemy's adapter goes there four times for a statement: to create a cursor, to
execute, to fetch the rows and to close the cursor. Each turn wakes the thread and then the event loop, which takes ten
times the CPU of a small statement. Here, all four are one turn, and so is the BEGIN before the first statement.

A query takes no turn at all as long as it is quick: in a write-ahead log it waits for nobody, so it runs in the event
loop, and SQLite asks while it works whether its time is over. Then it is given up, which leaves nothing behind, and
begins again in the thread. What writes, or waits for the disk, always runs in the thread.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import monotonic, perf_counter
from typing import Any, cast

import aiosqlite
from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_cursor
from sqlalchemy.util import EMPTY_DICT

from connector.store.db_errors import is_locked

QUICK_SECONDS = 0.002
"""For how long the queries of a connection may keep the event loop before it gets a turn of other tasks."""

_LOCKLESS = ("", "BEGIN")

_INSTRUCTIONS = 1000
"""After how many instructions of its virtual machine, of which it runs tens of millions a second, SQLite asks."""


class ThreadedConnection(aiosqlite.Connection):
    """A connection of aiosqlite that knows whether its thread is at work; a canceled statement goes on there."""

    _begun = 0
    _ended = 0  # changed by the thread only

    @property
    def is_idle(self) -> bool:
        return self._begun == self._ended

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        self._begun += 1
        return await super()._execute(self._run, partial(fn, *args, **kwargs))  # type: ignore[no-untyped-call]

    def _run(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        finally:
            self._ended += 1


def connect(database: str, **options: Any) -> ThreadedConnection:
    """Like `aiosqlite.connect`."""
    return ThreadedConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)


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


class _BeginError(Exception):
    """The transaction has not begun."""


def _begin_and(begin: str, work: Callable[..., _Result], connection: sqlite3.Connection, *arguments: Any) -> _Result:
    try:
        connection.execute(begin).close()
    except sqlite3.OperationalError as error:
        raise _BeginError from error
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
            result = adapted.query_quickly(operation, parameters) if work is _execute else None
            if result is None:
                adapted.note_turn(operation)
                arguments = (work, connection._conn, operation, parameters)
                if begin := adapted.take_begin():
                    result = await adapted.retry_begin(lambda: connection._execute(_begin_and, begin, *arguments))
                else:
                    result = await connection._execute(*arguments)
        self._cursor = result
        self._rows = deque(result.rows)
        return result


class SqliteConnection(AsyncAdapt_aiosqlite_connection):
    """Like the connection that it is made of, with fewer turns of its thread. Only streamed results, whose rows are
    fetched part by part, go the old way."""

    __slots__ = ("_begin", "_only_reads", "_patience", "_seconds")
    _cursor_cls = _Cursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self._begin = ""
        self._patience = 0.0
        self._only_reads = True  # in this transaction
        self._seconds = 0.0  # of queries since the event loop had its last turn

    @classmethod
    def of(cls, connection: AsyncAdapt_aiosqlite_connection) -> SqliteConnection:
        return cls(connection.dbapi, connection._connection)

    def begin_with_next(self, begin: str, *, patience: float = 0.0) -> None:
        """Run `begin` in the turn of the next statement; without one, never. `patience`: for how many seconds it is
        repeated while another process holds the lock."""
        self._begin, self._patience = begin, patience

    async def retry_begin(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Run `work`, whose first statement begins the transaction; repeat it while the lock is not free."""
        end = monotonic() + self._patience
        while True:
            try:
                return await work()
            except _BeginError as failed:
                error = cast(sqlite3.OperationalError, failed.__cause__)
                if not is_locked(error) or monotonic() >= end:
                    raise error from None
            # So that two waiting processes do not stay in step.
            await asyncio.sleep(random.uniform(0.001, 0.02))  # noqa: S311

    def take_begin(self) -> str:
        """Return what is to be run before the next statement, and forget it."""
        begin, self._begin = self._begin, ""
        return begin

    def note_turn(self, operation: str) -> None:
        """The thread runs this statement, and meanwhile the event loop has a turn."""
        self._seconds = 0.0
        self._only_reads = self._only_reads and _is_query(operation)

    def query_quickly(self, operation: str, parameters: _Parameters | None) -> _Result | None:
        """Run a query here; None if it needs the thread: it is no query, takes too long, or the thread is at work."""
        threaded = cast(ThreadedConnection, self._connection)
        if self._begin not in _LOCKLESS or not _is_query(operation):
            return None
        if self._seconds >= QUICK_SECONDS or not threaded.is_idle:
            return None
        connection = threaded._conn
        start = perf_counter()
        end = start + QUICK_SECONDS - self._seconds
        connection.set_progress_handler(lambda: perf_counter() > end, _INSTRUCTIONS)
        try:
            if begin := self.take_begin():
                connection.execute(begin).close()
            return _execute(connection, operation, () if parameters is None else parameters)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return None
        finally:
            connection.set_progress_handler(None, 0)
            self._seconds += perf_counter() - start

    def cursor(self, server_side: bool = False) -> Any:
        if server_side and (begin := self.take_begin()):
            self.execute(begin)
        return super().cursor(server_side)

    def commit(self) -> None:
        if not self._end_quickly():
            super().commit()

    def rollback(self) -> None:
        if not self._end_quickly():
            super().rollback()

    def _end_quickly(self) -> bool:
        """End the transaction here, if it has changed nothing."""
        if self.take_begin():  # nothing was run
            return True
        only_reads, self._only_reads = self._only_reads, True
        threaded = cast(ThreadedConnection, self._connection)
        if not only_reads or not threaded.is_idle or threaded._connection is None:
            return False
        threaded._conn.rollback()
        return True


def _is_query(operation: str) -> bool:
    return operation.startswith("SELECT")
