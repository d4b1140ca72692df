"""Access to the database: opens it, runs transactions, and translates its errors.

SQLite uses a write-ahead log, checks foreign keys, and takes the write lock when a transaction begins, not at its first
write: so a transaction that has read is never refused because another process wrote meanwhile. The writers of one
process queue in memory without a time limit; each gets its turn. Only the wait for another process is limited, because
that process may hold the lock forever.

PostgreSQL may be behind a pooler that gives every transaction another session (PgBouncer in transaction mode). So no
statement is prepared, and nothing that belongs to a session (SET, advisory locks, LISTEN, temporary tables) is used
after its transaction.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from sqlalchemy import URL, event, make_url
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from connector.clock import Clock, SystemClock
from connector.errors import SettingsError, StoreError
from connector.files import create_private, readable_by_others
from connector.log import request_id
from connector.model.customer import Customer
from connector.settings.retention import KeptValues
from connector.store.db_errors import OnState, is_locked, translate_errors
from connector.store.group_commit import GroupCommit
from connector.store.late_connections import Openings
from connector.store.postgres_connection import (
    BEGIN,
    READING,
    SINGLE,
    SNAPSHOT,
    TimeLimits,
    begin_with_limits,
    engine_options,
    lift_limits,
    limit_statements,
    ping_rested,
)
from connector.store.retry import retry_on_abort
from connector.store.scope import DEFAULT, OPTION
from connector.store.single_statements import refuse_second_statement
from connector.store.sqlite_connection import SqliteConnection, connect
from connector.store.unit_of_work import UnitOfWork

Connection = AsyncConnection
"""The type of a connection, for packages that must not import SQLAlchemy."""
T = TypeVar("T")

BUSY_SECONDS = 60.0
"""How long a writer waits for another process. SQLite has no queue for writers, so the wait must be long enough to hit
a short gap between two transactions of a process that writes all the time."""

CACHE_KIB = 512
"""The cache of one connection to SQLite, of which a push has about ten. With 2 MB, as by default, neither reading nor
writing is faster: the cache of the operating system has the pages, too."""

_TRY_SECONDS = 1.0
"""How long one attempt of SQLite waits for the lock; a command that is stopped meanwhile ends within this time."""

DEFAULT_LIMITS = TimeLimits()
_POSTGRES = {"postgresql", "postgres", "postgresql+psycopg"}
_SQLITE = {"sqlite", "sqlite+aiosqlite"}


class Store:
    """An open database. Opening does no I/O; the first statement does."""

    def __init__(
        self,
        url: URL,
        clock: Clock,
        *,
        scratch: Path | None = None,
        busy_seconds: float = BUSY_SECONDS,
        limits: TimeLimits = DEFAULT_LIMITS,
    ) -> None:
        self.clock = clock
        self.org: str | None = DEFAULT
        """The name of the org that it works for (`store.scope`); None for all of them."""
        self.route: Callable[[Customer], str] | None = None
        """Finds the org of a new customer; without it, it is the org that the store works for."""
        self.publishes_status = False
        """Whether a new stage or hold of an order is published to the org (`CONNECTOR_EVENTS__ORDER_STATUS`)."""
        self.kept_values = KeptValues.ALL
        """Of which fields the journal keeps the values (`CONNECTOR_RETENTION__JOURNAL_VALUES`)."""
        self.address = url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)
        self.dialect = url.get_backend_name()
        self.public_url = _without_password(url)
        self._scratch = scratch
        if self.dialect == "sqlite":
            self._engine = create_async_engine(url, hide_parameters=True, connect_args={"isolation_level": None})
            _configure_sqlite(self._engine, busy_seconds)
            self._readers = self._engine.execution_options(**{BEGIN: "BEGIN"})
            self._snapshots = self._readers
            self._single_readers = self._readers.execution_options()
        else:
            self._engine = create_async_engine(url, hide_parameters=True, **engine_options(limits))
            limit_statements(self._engine, limits)
            begin_with_limits(self._engine, limits)
            ping_rested(self._engine)
            # One snapshot for all statements of a reader, as SQLite's BEGIN gives it.
            self._readers = self._engine.execution_options(**{BEGIN: READING})
            self._snapshots = self._engine.execution_options(**{BEGIN: SNAPSHOT})
            self._single_readers = self._engine.execution_options(**{BEGIN: SINGLE})
        refuse_second_statement(self._single_readers)
        self._openings = Openings(self._engine)
        self.on_state: OnState = lambda error: None
        """Called with why the database is unavailable, and with None whenever it was used."""
        self.on_captured: list[Callable[[frozenset[int | None]], None]] = []
        """Called after each commit of this process that captured changes for the org, with their slots; None stands for
        products."""
        self._writer = asyncio.Lock()
        # PostgreSQL has many writers and groups their commits itself.
        self._group = GroupCommit(self._begin, self._unit) if self.dialect == "sqlite" else None
        self._groups = WeakSet(() if self._group is None else (self._group,))  # also those for other orgs

    def for_org(self, org: str | None) -> Store:
        """The same database for another org; None for all of them. It shares everything, and is not closed."""
        copy: Store = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.org, copy.route = org, None
        copy.on_state = lambda error: self.on_state(error)  # it may be set later
        for name in ("_engine", "_readers", "_single_readers", "_snapshots"):
            setattr(copy, name, getattr(self, name).execution_options(**{OPTION: org}))
        if self.dialect == "sqlite":
            copy._group = GroupCommit(copy._begin, copy._unit)
            self._groups.add(copy._group)
        return copy

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for another database, and for an address that only SQLite understands."""
        if self.dialect != "sqlite" or str(self._engine.url.database).startswith("file:"):
            return None
        return Path(str(self._engine.url.database))

    @property
    def absent(self) -> bool:
        """Whether this is a SQLite file that does not exist. Connecting to it would create an empty file."""
        return self.file is not None and self.file.parent.is_dir() and not self.file.exists()

    @property
    def readable_by_others(self) -> bool:
        """Whether this is a SQLite file that other users of the machine can read."""
        return self.dialect == "sqlite" and readable_by_others(Path(str(self._engine.url.database)))

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None, limits: TimeLimits = DEFAULT_LIMITS) -> Store:
        """Open the store at `url`: `sqlite:///path`, `sqlite://` (deleted when closed) or `postgresql://…`.

        Raises SettingsError for any other URL.
        """
        scratch = None
        address = _parse(url)
        if address.get_backend_name() == "sqlite" and address.database in {None, "", ":memory:"}:
            # A database in memory has only one connection; a temporary file allows readers beside the writer.
            scratch = Path(tempfile.mkdtemp(prefix="connector-"))
            address = address.set(database=str(scratch / "connector.db"))
        return cls(address, clock or SystemClock(), scratch=scratch, limits=limits)

    @classmethod
    def open_file(cls, file: Path) -> Store:
        """Open a file of SQLite, whatever its name is."""
        return cls(URL.create("sqlite+aiosqlite", database=str(file)), SystemClock())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UnitOfWork]:
        """Open a transaction. At the end it is committed with its captured changes; on any error it is rolled back."""
        async with self._writer_turn():
            with translate_errors(self.address, self._note_state):
                async with self._engine.begin() as connection:
                    unit = self._unit(connection)
                    yield unit
                    await unit.capture()
        self._tell_captured(unit)

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run `work` in a transaction and return its result after the commit.

        If the database aborts the transaction in favor of another one (a deadlock, a serialization failure), `work` is
        called again in a new transaction. If every attempt is aborted, the last AbortedError is raised.
        """

        async def attempt() -> T:
            if self._group is not None:
                units: list[UnitOfWork] = []  # the work may be repeated: the last one counts
                request = request_id.get()  # the work runs in another task

                async def noted(uow: UnitOfWork) -> T:
                    uow.request = request
                    units.append(uow)
                    return await work(uow)

                with translate_errors(self.address, self._note_state):
                    result = await self._group.run(noted)
                self._tell_captured(units[-1])
                return result
            async with self.transaction() as uow:
                return await work(uow)

        return await retry_on_abort(self.clock, attempt)

    def reader(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a connection for reading. All its statements see one snapshot: nothing that is committed later."""
        return self._reading(self._readers)

    def single_reader(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a connection for reading with one statement; a second one is refused (`store.single_statements`)."""
        return self._reading(self._single_readers)

    @asynccontextmanager
    async def _reading(self, readers: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        with translate_errors(self.address, self._note_state):
            async with readers.connect() as connection:
                yield connection

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection in a transaction that is always rolled back at the end."""
        async with self._writer_turn():
            with translate_errors(self.address, self._note_state):
                async with self._engine.connect() as connection:
                    transaction = await connection.begin()
                    try:
                        yield connection
                    finally:
                        await transaction.rollback()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection that sees one snapshot, blocks nobody, and may write temporary tables. It is rolled back at
        the end."""
        with translate_errors(self.address, self._note_state):
            async with self._snapshots.connect() as connection:
                transaction = await connection.begin()
                if self.dialect == "postgresql":
                    await connection.run_sync(lift_limits)
                try:
                    yield connection
                finally:
                    await transaction.rollback()

    async def migrate(self, work: Callable[[SyncConnection], None]) -> None:
        """Run `work` in a transaction that may rebuild tables."""
        async with self._writer_turn():
            with translate_errors(self.address, self._note_state):
                async with self._engine.connect() as connection:
                    raw: Any = (await connection.get_raw_connection()).driver_connection
                    if self.dialect == "sqlite":
                        # A SQLite table is altered by copying it; dropping the old one would break references to it.
                        # The pragma has no effect inside a transaction.
                        await raw.execute("PRAGMA foreign_keys = OFF")
                    try:
                        async with connection.begin():
                            await connection.run_sync(work)
                    finally:
                        if self.dialect == "sqlite":
                            await raw.execute("PRAGMA foreign_keys = ON")

    def _note_state(self, error: StoreError | None) -> None:
        self.on_state(error)

    async def close(self) -> None:
        """Close all connections, after the transactions at work have ended. A connection that is still in use, by a
        canceled reader for example, is closed when it comes back."""
        for group in tuple(self._groups):
            await group.settle()
        self._openings.number += 1
        await self._engine.dispose()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[Connection]:
        async with self._writer_turn(), self._engine.begin() as connection:
            yield connection

    def _unit(self, connection: Connection) -> UnitOfWork:
        unit = UnitOfWork(
            connection, self.clock.now(), publishes_status=self.publishes_status, kept_values=self.kept_values
        )
        unit.route = self.route
        return unit

    def _tell_captured(self, unit: UnitOfWork) -> None:
        if unit.captured:
            for tell in self.on_captured:
                tell(unit.captured)

    @asynccontextmanager
    async def _writer_turn(self) -> AsyncIterator[None]:
        """Wait for the turn to write. SQLite has one writer; writers of this process queue here instead of polling."""
        if self.dialect != "sqlite":
            yield
            return
        async with self._writer:
            yield


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _url_error() from None
    if url.drivername in _SQLITE:
        return url.set(drivername="sqlite+aiosqlite")
    if url.drivername in _POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    raise _url_error()


def _without_password(url: URL) -> str:
    """The URL as other programs take it, which ask for the password or find it in their own file."""
    return url.set(drivername=url.get_backend_name())._replace(password=None).render_as_string()


def _url_error() -> SettingsError:
    return SettingsError(
        "CONNECTOR_DATABASE_URL is not the URL of a supported database.",
        hint="Write sqlite:///connector.db or postgresql://user:password@host/database.",
    )


def _configure_sqlite(engine: AsyncEngine, busy_seconds: float) -> None:
    # FULL: an accepted order survives a power cut.
    settings = f"""
        PRAGMA busy_timeout = {int(min(busy_seconds, _TRY_SECONDS) * 1000)};
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA foreign_keys = ON;
        PRAGMA cache_size = -{CACHE_KIB};
    """

    @event.listens_for(engine.sync_engine, "do_connect")
    def _open(dialect: Any, _record: object, arguments: Any, options: Any) -> SqliteConnection:
        # If opening failed in aiosqlite's thread, it would report to a loop that may have ended, and print a traceback.
        # Failing here starts no thread.
        if not str(arguments[0]).startswith("file:"):
            # SQLite creates its other files with the permissions of the database file.
            create_private(Path(arguments[0]))
        sqlite3.connect(*arguments, **options).close()
        return SqliteConnection.of(dialect.loaded_dbapi.connect(*arguments, async_creator_fn=connect, **options))

    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        def configure() -> None:
            connection.run_async(lambda threaded: threaded.executescript(settings))

        try:
            _retry_while_locked(connection, busy_seconds, configure)
        except BaseException:
            connection.close()  # it is not in the pool yet, so its thread would never end
            raise

    @event.listens_for(engine.sync_engine, "invalidate")
    def _release_lock(connection: Any, _record: object, _error: BaseException | None) -> None:
        # A canceled statement keeps its cursor, in the traceback, until the garbage collector comes. SQLite closes a
        # connection only after its last cursor, so the lock of the transaction would stay that long.
        with suppress(sqlite3.Error):
            connection.rollback()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: SyncConnection) -> None:
        raw: Any = connection.connection.dbapi_connection
        if connection.get_execution_options().get(BEGIN) == "BEGIN":
            raw.begin_to_read()
        else:
            try:
                _retry_while_locked(raw, busy_seconds, raw.begin_to_write)
            except sqlite3.Error as error:
                raise OperationalError("BEGIN IMMEDIATE", None, error) from error


def _retry_while_locked(connection: Any, seconds: float, work: Callable[[], object]) -> None:
    """Run `work`; repeat it for up to `seconds` while another process holds the lock."""
    end = time.monotonic() + seconds
    while True:
        try:
            work()
            return
        except (OperationalError, sqlite3.OperationalError) as error:
            if not is_locked(error) or time.monotonic() >= end:
                raise
        pause = random.uniform(0.001, 0.02)  # noqa: S311 - so that two waiting processes do not stay in step
        connection.run_async(lambda _, pause=pause: asyncio.sleep(pause))
