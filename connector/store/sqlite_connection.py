"""Connections to SQLite that need at most one turn of their thread for each statement.

aiosqlite runs SQLite in a thread. SQLAlchemy's adapter goes there four times for a statement: to create a cursor, to
execute, to fetch the rows and to close the cursor. Each turn wakes the thread and then the event loop, which takes ten
times the CPU of a small statement. Here, all four are one turn.

A query takes no turn at all as long as it is quick: in a write-ahead log it waits for nobody, so it runs in the event
loop, and SQLite asks while it works whether its time is over. Then it is given up, which leaves nothing behind, and
begins again in the thread. So does the BEGIN of a transaction: it waits for no lock, but is repeated. An INSERT of few
small values takes no turn either: its transaction has the lock, and its values bound its time. What else writes, or
waits for the disk, runs in the thread, and so does an INSERT after which the changed pages might not fit into the
cache.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, cast

import aiosqlite
from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_ss_cursor,
)
from sqlalchemy.util import EMPTY_DICT
from sqlalchemy.util.concurrency import await_

from connector.store.db_errors import ENDED_TRANSACTION

QUICK_SECONDS = 0.002
"""For how long a connection may keep the event loop, from its first quick query on, before other tasks have a turn."""

_INSTRUCTIONS = 100
"""After how many instructions of its virtual machine, of which it runs tens of millions a second, SQLite asks."""

_FEW_VALUES = 300
_FEW_CHARACTERS = 8 * 1024
"""Up to how many values, and how much text in them, an INSERT is quick."""
_FEW_CHANGES = 24
"""Of how many rows of usual size, in a transaction, the pages fit into its cache (512 KiB): then SQLite writes nothing
before the COMMIT."""

_QUERIES = ("SELECT", "PRAGMA main.", "PRAGMA temp.")
"""What only reads. By the pragmas, SQLAlchemy asks for tables and their columns: some 400 times in an upgrade."""

_ROLLBACK_TO = "ROLLBACK TO SAVEPOINT"
"""Has nothing to do after SQLite has ended the transaction. An error of its own would hide the one that ended it."""

_COUNT = ("SELECT count(*)", "SELECT COUNT(*)")
"""SQLite counts all rows of a table by one instruction, however many they are."""


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
    """Like `aiosqlite.connect`. A connection that nobody closes keeps no process from ending."""
    connection = ThreadedConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True
    return connection


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
    if not connection.in_transaction:
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


def _do_nothing(connection: sqlite3.Connection, _statement: str, _parameters: _Parameters) -> _Result:
    return _Result(connection.cursor())


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
            if adapted.has_ended and operation.startswith(_ROLLBACK_TO):
                work = _do_nothing
            else:
                adapted.check_transaction()
            result = adapted.run_quickly(work, operation, parameters)
            if result is None:
                adapted.note_change(operation)
                first = (_begin_and, adapted.begin, work) if adapted.begin else (work,)
                result = await connection._execute(*first, connection._conn, operation, parameters)
                adapted.note_begin()
        self._cursor = result
        self._rows = deque(result.rows)
        return result


class _StreamCursor(AsyncAdapt_aiosqlite_ss_cursor):
    __slots__ = ()

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        return await self._run(self._cursor.execute, operation, () if parameters is None else parameters)

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        return await self._run(self._cursor.executemany, operation, seq_of_parameters)

    async def _run(self, execute: Callable[..., Any], operation: str, parameters: Any) -> Any:
        adapted = cast(SqliteConnection, self._adapt_connection)
        async with adapted._execute_mutex:
            adapted.check_transaction()
            adapted.note_change(operation)
            return await execute(operation, parameters)


class SqliteConnection(AsyncAdapt_aiosqlite_connection):
    """Like the connection that it is made of, with fewer turns of its thread. Only streamed results, whose rows are
    fetched part by part, go the old way."""

    __slots__ = ("_begun", "_changes", "_has_lock", "_only_reads", "_since", "begin")
    _cursor_cls = _Cursor
    _ss_cursor_cls = _StreamCursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self.begin = ""
        """What begins the transaction together with its first statement; empty once it has begun."""
        self._begun = False  # whether the transaction was begun; SQLite may have ended it
        self._only_reads = True  # in this transaction
        self._has_lock = False  # to write, from the beginning of this transaction
        self._changes = 0  # rows that were changed before this transaction
        self._since: float | None = None  # when the first quick statement ran since the event loop had a turn

    @classmethod
    def of(cls, connection: AsyncAdapt_aiosqlite_connection) -> SqliteConnection:
        return cls(connection.dbapi, connection._connection)

    def begin_to_read(self) -> None:
        """Begin a transaction with the next statement; without one, never."""
        self.begin, self._only_reads = "BEGIN", True

    def begin_to_write(self) -> None:
        """Begin a transaction with the lock to write. Raises sqlite3.OperationalError if another process has it."""
        self._only_reads = False
        threaded = cast(ThreadedConnection, self._connection)
        if threaded.is_idle:
            _begin_without_waiting(threaded._conn)
        else:
            await_(threaded._execute(_begin_without_waiting, threaded._conn))
        self._begun, self._has_lock, self._changes = True, True, threaded._conn.total_changes

    def note_begin(self) -> None:
        """The transaction was begun together with its first statement."""
        if self.begin:
            self.begin, self._begun = "", True

    @property
    def has_ended(self) -> bool:
        """Whether SQLite has ended the transaction itself, as it does when the disk is full: whatever follows would be
        stored without what came before."""
        connection = cast(ThreadedConnection, self._connection)._connection
        return self._begun and connection is not None and not connection.in_transaction

    def check_transaction(self) -> None:
        """Raise sqlite3.OperationalError if SQLite has ended the transaction."""
        if self.has_ended:
            raise _ended()

    def note_change(self, operation: str) -> None:
        """The thread will run this statement."""
        self._only_reads = self._only_reads and _is_query(operation)

    def run_quickly(self, work: Callable[..., _Result], operation: str, parameters: Any) -> _Result | None:
        """Run a query or a small INSERT here; None if it needs the thread: it may take long, or the thread is at
        work."""
        threaded = cast(ThreadedConnection, self._connection)
        if not threaded.is_idle:
            return None
        room = _FEW_CHANGES - (threaded._conn.total_changes - self._changes) if self._has_lock else 0
        inserts = room > 0 and _is_small_insert(work, operation, parameters, room)
        if not inserts and (not _is_query(operation) or operation.startswith(_COUNT)):
            return None
        now = perf_counter()
        if self._since is None:
            self._since = now
            asyncio.get_running_loop().call_soon(self._note_turn)
        end = self._since + QUICK_SECONDS
        if now >= end:
            return None
        connection = threaded._conn
        if inserts:  # without a limit: to give it up would end the transaction
            return work(connection, operation, parameters)
        connection.set_progress_handler(lambda: perf_counter() > end, _INSTRUCTIONS)
        try:
            if self.begin and not connection.in_transaction:
                connection.execute(self.begin).close()
            self.note_begin()
            return work(connection, operation, parameters)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
                raise
            return None
        finally:
            connection.set_progress_handler(None, 0)

    def _note_turn(self) -> None:
        self._since = None

    def cursor(self, server_side: bool = False) -> Any:
        if server_side and self.begin:
            begin, self.begin = self.begin, ""
            self.execute(begin)
            self._begun = True
        return super().cursor(server_side)

    def commit(self) -> None:
        """Commit. Raises sqlite3.OperationalError if SQLite has ended the transaction."""
        begun, threaded = self._begun, cast(ThreadedConnection, self._connection)
        if self._end_quickly():
            return
        if threaded._connection is not None:
            await_(threaded._execute(_commit, threaded._conn, begun))
        elif begun:
            raise _ended()

    def rollback(self) -> None:
        if not self._end_quickly():
            super().rollback()

    def _end_quickly(self) -> bool:
        """End the transaction here, if it has changed nothing."""
        begin, self.begin = self.begin, ""
        only_reads, self._only_reads = self._only_reads, True
        self._begun = self._has_lock = False
        threaded = cast(ThreadedConnection, self._connection)
        if not threaded.is_idle or threaded._connection is None:
            return False
        if begin and not threaded._conn.in_transaction:  # nothing was run
            return True
        if not only_reads:
            return False
        threaded._conn.rollback()
        return True


def _begin_without_waiting(connection: sqlite3.Connection) -> None:
    [waits] = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0").close()
    try:
        connection.execute("BEGIN IMMEDIATE").close()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {waits}").close()


def _commit(connection: sqlite3.Connection, begun: bool) -> None:
    """Runs in the thread, after the last statement. What cannot be committed is rolled back: SQLAlchemy would give the
    connection to its next user as it is."""
    if begun and not connection.in_transaction:
        raise _ended()
    try:
        connection.commit()
    except sqlite3.Error:
        connection.rollback()
        raise


def _ended() -> sqlite3.OperationalError:
    return sqlite3.OperationalError(f"SQLite {ENDED_TRANSACTION} after an error")


def _is_query(operation: str) -> bool:
    return operation.startswith(_QUERIES)


def _is_small_insert(work: Callable[..., _Result], operation: str, parameters: Any, most_rows: int) -> bool:
    """Whether it inserts rows that it is given, and only few and small values altogether."""
    if not operation.startswith("INSERT INTO") or "SELECT" in operation:
        return False
    rows = parameters if work is _execute_many else (parameters,)
    if len(rows) > most_rows or len(rows) * len(rows[0]) > _FEW_VALUES:
        return False
    return sum(len(value) for row in rows for value in row if isinstance(value, str | bytes)) <= _FEW_CHARACTERS
