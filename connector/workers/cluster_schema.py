"""Procrastinate's own tables, which `connector db upgrade` creates and upgrades if `CONNECTOR_WORKERS=cluster`."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import psycopg
from procrastinate.schema import SchemaManager
from psycopg import sql

from connector.errors import StoreError
from connector.settings import Settings

_LOCK = 0x70726F63
"""Two processes that upgrade at once do so one after the other."""

_DRIVER = re.compile(r"^postgres(ql)?(\+psycopg)?://")


def address_of(settings: Settings) -> str:
    """The address of the database for procrastinate: that of the store, unless it has one of its own."""
    return _DRIVER.sub("postgresql://", settings.cluster.database_url.get_secret_value() or settings.database_url)


async def upgrade(settings: Settings) -> None:
    """Create procrastinate's tables, or upgrade them to the installed release, in one transaction."""
    installed = version("procrastinate")
    try:
        async with await psycopg.AsyncConnection.connect(address_of(settings)) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            for statements in _statements(await _find_version(connection), installed):
                await connection.execute(statements.encode())
            comment = sql.SQL("COMMENT ON TABLE procrastinate_jobs IS {}").format(sql.Literal(installed))
            await connection.execute(comment)
    except psycopg.Error as error:
        raise StoreError(
            f"The tables of procrastinate could not be created: {error}".strip(),
            hint="CONNECTOR_CLUSTER__DATABASE_URL must lead to the database itself, as a user who may create tables.",
        ) from error


async def _find_version(connection: psycopg.AsyncConnection[object]) -> str | None:
    """The release whose tables there are; None if there are none."""
    query = "SELECT obj_description(to_regclass('procrastinate_jobs'), 'pg_class'), to_regclass('procrastinate_jobs')"
    row = await (await connection.execute(query)).fetchone()
    comment, table = row if isinstance(row, tuple) else (None, None)
    return None if table is None else str(comment or "3.0.0")


def _statements(before: str | None, installed: str) -> list[str]:
    """What leads from one release to another: the whole schema, or the migrations in between, in their sequence."""
    if before is None:
        return [SchemaManager.get_schema()]
    files = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    return [
        file.read_text(encoding="utf-8")
        for file in files
        if _parts(before) < _parts(file.name.partition("_")[0]) <= _parts(installed)
    ]


def _parts(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".")[:3])
