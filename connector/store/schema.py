"""Checks whether the database has the schema of this release, and upgrades it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from connector.clock import Clock
from connector.errors import AbortedError, RetryClass, StoreError
from connector.settings import Settings
from connector.store.db_errors import UPGRADE
from connector.store.engine import Store
from connector.store.postgres_connection import TimeLimits, lift_limits
from connector.store.retry import retry_on_abort

_FOLDER = Path(__file__).with_name("migrations")
REVISIONS = tuple(sorted(file.name[1:5] for file in (_FOLDER / "versions").glob("v[0-9]*.py")))
"""All revisions, oldest first. They are read from the file names, so that a check need not import alembic (0.9 s)."""

HEAD = REVISIONS[-1]
_UPGRADE_LOCK = 0x636F6E6E
_LOCK_MILLISECONDS = 5000


async def upgrade(store: Store) -> None:
    """Upgrade the database to HEAD, all revisions in one transaction. Several processes may call this at once, and
    others may write meanwhile: they wait, and nothing that was accepted is lost. Then those of an earlier release must
    end.

    Raises StoreError, and changes nothing, if others keep tables locked.
    """

    async def attempt() -> None:
        await store.migrate(lambda connection: _upgrade(connection, store.address))

    try:
        await retry_on_abort(store.clock, attempt)
    except AbortedError:
        raise StoreError(
            f"Other processes keep tables of {store.address} locked, so it was not upgraded; nothing was changed.",
            hint="Stop the service and long reports, and try again.",
            retry_class=RetryClass.TRANSIENT,
        ) from None


async def current(store: Store) -> str | None:
    """Return the revision of the database; None if it has no tables of ours. A missing file is not created."""
    if store.absent:
        return None
    async with store.reader() as connection:
        return await connection.run_sync(_revision)


def store_of(settings: Settings, *, clock: Clock | None = None) -> Store:
    """The store of the settings, whatever its schema is. Raises SettingsError for an address that is none."""
    seconds = settings.database
    limits = TimeLimits(connect=seconds.connect_seconds, statement=seconds.statement_seconds, idle=seconds.idle_seconds)
    return Store.open(settings.database_url, clock=clock, limits=limits)


@asynccontextmanager
async def open_store(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Store]:
    """Open the database of `settings`, for one org or for all; StoreError if its schema is absent, or older or newer
    than this release."""
    store = store_of(settings, clock=clock)
    try:
        await check(store)
        scope = settings.org if settings.works_for_one_org else None
        yield store.for_org(scope) if settings.org or settings.orgs else store
    finally:
        await store.close()


async def check(store: Store) -> None:
    """Raise StoreError unless the database is at HEAD."""
    revision = await current(store)
    if revision == HEAD:
        return
    if revision is None:
        raise StoreError(
            f"The database {store.address} has no tables yet.", hint=UPGRADE, retry_class=RetryClass.CONFIG
        )
    if revision in REVISIONS:
        raise StoreError(
            f"The database {store.address} is at revision {revision}, this release needs {HEAD}.",
            hint=UPGRADE,
            retry_class=RetryClass.CONFIG,
        )
    raise _newer(store.address, revision)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _newer(address: str, revision: str) -> StoreError:
    return StoreError(
        f"The database {address} was made by a newer release (revision {revision}).",
        hint="Install that release, or restore a backup made before it.",
        retry_class=RetryClass.CONFIG,
    )


def _upgrade(connection: Connection, address: str) -> None:
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        # Two replicas that start together would both create the tables. In SQLite writers take turns anyway.
        lift_limits(connection)
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
        # While it waits for a table, everybody else waits behind it. So it gives up soon, and tries again.
        connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}"))
    revision = _revision(connection)
    if revision is not None and revision not in REVISIONS:
        raise _newer(address, revision)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if connection.dialect.name == "sqlite" and connection.execute(text("PRAGMA foreign_key_check")).first():
        raise StoreError("The upgrade would break references between tables; nothing was changed.")
