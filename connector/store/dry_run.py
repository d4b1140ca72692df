"""A store for dry runs: everything runs in one transaction that is rolled back at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import Connection, MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.clock import Clock
from connector.store.budget_tables import sync_delays
from connector.store.db_errors import translate_errors
from connector.store.engine import Store
from connector.store.inbound_tables import cursors
from connector.store.job_tables import resyncs
from connector.store.tables import journal, leases, links, metadata, org_catalog, orgs, outbox
from connector.store.unit_of_work import UnitOfWork

PUSH_TABLES = (outbox, links, journal, leases, org_catalog, orgs, resyncs, sync_delays)
"""The tables that a push writes, and a resync before it."""
ORG_TABLES = (org_catalog, orgs, cursors)
"""The tables that are written when the org is asked what it is like."""


class DryRunStore(Store):
    """A store whose transactions are savepoints of one transaction."""

    def __init__(self, store: Store, connection: AsyncConnection, clock: Clock | None = None) -> None:
        self.clock = clock or store.clock
        self.org, self.route = store.org, store.route
        self.publishes_status = False
        self._group = None
        self.address = store.address
        self.dialect = store.dialect
        self._connection = connection
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UnitOfWork]:
        async with self._lock:
            with translate_errors(self.address):
                async with self._connection.begin_nested():
                    unit = UnitOfWork(self._connection, self.clock.now())
                    unit.route = self.route
                    yield unit
                    await unit.capture()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[AsyncConnection]:
        async with self._lock:
            yield self._connection

    single_reader = reader


@asynccontextmanager
async def dry_run(store: Store, *, clock: Clock | None = None) -> AsyncIterator[Store]:
    """Open a copy of `store` that discards all changes, with another clock if one is given. On SQLite it blocks every
    other writer while it is open, so it is for short work."""
    async with store.scratch() as connection:
        yield DryRunStore(store, connection, clock)


@asynccontextmanager
async def sync_dry_run(store: Store, tables: Sequence[Table] = PUSH_TABLES) -> AsyncIterator[Store]:
    """Open a copy of `store` for the dry run of work that writes only `tables`. It blocks nobody, however long it runs.

    The tables are copied into temporary tables, which hide the originals on this connection. All
    other tables are read as they were when it was opened.
    """
    async with store.snapshot() as connection:
        await connection.run_sync(_copy_tables, tables)
        yield DryRunStore(store, connection)


def _copy_tables(connection: Connection, tables: Sequence[Table]) -> None:
    sqlite = connection.dialect.name == "sqlite"
    schema = "main" if sqlite else connection.execute(text("SELECT current_schema()")).scalar_one()
    hidden = MetaData(naming_convention=metadata.naming_convention)
    for table in tables:
        copy = table.to_metadata(hidden)
        copy._prefixes = ["TEMPORARY"]
        copy.create(connection)
        if table in (leases, journal, sync_delays):
            continue  # nobody else uses the copies, so they begin empty
        names = ", ".join(column.name for column in table.columns)
        source = connection.dialect.identifier_preparer.quote(schema)
        connection.execute(text(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {source}.{table.name}"))  # noqa: S608
