"""What the database server is: its version, how it is reached, and how much room it has."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from connector.store.engine import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseInfo:
    """`journal_mode`, `size` and `free` (bytes, of the file and of its disk) are those of SQLite. `pooled`: PostgreSQL
    is behind a pooler. `clock_offset`: the seconds by which the clock of PostgreSQL is ahead of ours."""

    version: str
    journal_mode: str | None = None
    size: int | None = None
    free: int | None = None
    pooled: bool = False
    clock_offset: float = 0.0


async def read_database_info(store: Store) -> DatabaseInfo:
    """Ask the database. Raises StoreError if it cannot be used."""
    async with store.reader() as connection:
        if store.dialect == "sqlite":
            version = str((await connection.execute(text("SELECT sqlite_version()"))).scalar())
            mode = str((await connection.execute(text("PRAGMA journal_mode"))).scalar())
            file = store.file
            if file is None:
                return DatabaseInfo(version=version, journal_mode=mode)
            return DatabaseInfo(
                version=version,
                journal_mode=mode,
                size=file.stat().st_size,
                free=shutil.disk_usage(file.parent).free,
            )
        statement = "SELECT current_setting('server_version'), pg_backend_pid(), clock_timestamp()"
        version, process, now = (await connection.execute(text(statement))).one()
        ours = store.clock.now()
        # A pooler tells its clients a process number of its own.
        raw: Any = (await connection.get_raw_connection()).driver_connection
        return DatabaseInfo(
            version=str(version).partition(" ")[0],
            pooled=raw.info.backend_pid != process,
            clock_offset=(now - ours).total_seconds(),
        )
