"""Store the org's rows: one SQLite connection, one table per sObject, one column per field.

Text compares without case, as on the platform, unless a field is case-sensitive, an ID or a timestamp. A transaction
collects its changes and reports them to listeners just before the commit; a rollback reports none. Numbers that must
never be issued twice (IDs, auto numbers) are kept in memory and written with the commit that uses them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from connector.localorg.schema import Field, Schema, SObject

_CASE_SENSITIVE_TYPES = {"id", "reference", "datetime", "date", "time"}
_REAL = {"double", "currency", "percent"}
_INDEXED = {"SystemModstamp", "EffectiveDate", "OrderNumber", "ContractNumber"}


@dataclass(frozen=True, slots=True)
class Change:
    """One row changed by a transaction; `fields` are the changed ones of an update."""

    sobject: str
    id: str
    kind: str  # CREATE | UPDATE | DELETE | UNDELETE
    fields: tuple[str, ...] = ()


_Shape = tuple[tuple[str, tuple[Field, ...]], ...]
"""The stored fields of each object."""

_templates: dict[_Shape, Storage] = {}
"""Databases in memory that have only tables, for `copy_tables`."""

_MAX_TEMPLATES = 16


def _shape(schema: Schema) -> _Shape:
    return tuple((sobject.name, tuple(sobject.stored_fields())) for sobject in schema)


class RetryTransactionError(Exception):
    """Rolls back a transaction that will be repeated. Its `after_transaction` callbacks are dropped."""


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def column_sql(field: Field) -> str:
    if field.type == "boolean":
        return f"{quote(field.name)} INTEGER NOT NULL DEFAULT {int(field.default_value is True)}"
    if field.type in _REAL:
        return f"{quote(field.name)} REAL"
    if field.type in {"int", "long"}:
        return f"{quote(field.name)} INTEGER"
    if field.name == "Id":
        return f"{quote(field.name)} TEXT PRIMARY KEY"
    collation = "" if field.case_sensitive or field.type in _CASE_SENSITIVE_TYPES else " COLLATE NOCASE"
    return f"{quote(field.name)} TEXT{collation}"


def _create_private(path: Path) -> None:
    """Create an empty file that only its owner may read. An existing file stays as it is."""
    with suppress(OSError):  # SQLite reports a file that cannot be created
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.fchmod(handle, 0o600)
        os.close(handle)


class Storage:
    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            _create_private(path)
        self.connection = sqlite3.connect(
            str(path) if path else ":memory:", isolation_level=None, check_same_thread=False, cached_statements=1024
        )
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "temp_store=MEMORY", "cache_size=-65536"):
            self.connection.execute(f"PRAGMA {pragma}").close()
        self.connection.execute("CREATE TABLE IF NOT EXISTS _meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        self.connection.execute("CREATE TABLE IF NOT EXISTS _sequence (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS _deletion (sobject TEXT, id TEXT, deleted_at TEXT, PRIMARY KEY (sobject, id))"
        )
        # Records that were deleted along with another one. They are restored with it.
        self.connection.execute("CREATE TABLE IF NOT EXISTS _cascade (id TEXT PRIMARY KEY, root TEXT NOT NULL)")
        self._sequences: dict[str, int] = dict(self.connection.execute("SELECT name, value FROM _sequence"))
        self._dirty: set[str] = set()
        self._synced: dict[str, tuple[Field, ...]] = {}  # the fields of the tables, by sObject
        self._depth = 0
        self.changes: list[Change] = []
        self.commit_listeners: list[Callable[[list[Change]], None]] = []
        self.after_transaction: list[Callable[[], object]] = []  # done once the transaction is over, committed or not

    def close(self) -> None:
        self.connection.close()

    # -- shape ------------------------------------------------------------------------------------------------------

    def copy_tables(self, schema: Schema) -> None:
        """Give a new database in memory all tables of the schema. A process that needs the same ones again copies them,
        which takes a tenth of the time."""
        shape = _shape(schema)
        template = _templates.get(shape)
        if template is None:
            if len(_templates) >= _MAX_TEMPLATES:
                _templates.pop(next(iter(_templates))).close()
            template = _templates[shape] = Storage()
            template.sync_tables(schema)
        template.connection.backup(self.connection)
        self._synced = dict(shape)

    def sync_tables(self, schema: Schema) -> None:
        """Create missing tables, columns and indexes. Nothing is dropped."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            for sobject in schema:
                if not sobject.event and self._synced.get(sobject.name) != tuple(sobject.stored_fields()):
                    self._sync_table(sobject)
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self._synced = dict(_shape(schema))

    def _sync_table(self, sobject: SObject) -> None:
        table = quote(sobject.name)
        fields = list(sobject.stored_fields())
        present = {row[1].lower() for row in self.connection.execute(f"PRAGMA table_info({table})")}
        if not present:
            self.connection.execute(f"CREATE TABLE {table} ({', '.join(column_sql(f) for f in fields)})")
        else:
            for field in fields:
                if field.name.lower() not in present:
                    self.connection.execute(f"ALTER TABLE {table} ADD COLUMN {column_sql(field)}")
        for field in fields:
            if field.name in {"CreatedById", "LastModifiedById", "OwnerId"}:
                continue
            if field.type == "reference" or field.unique or field.external_id or field.name in _INDEXED:
                name = quote(f"ix_{sobject.name}_{field.name}")
                # Keyset paging reads in the order (SystemModstamp, Id).
                more = ', "Id"' if field.name == "SystemModstamp" and sobject.get("Id") else ""
                self.connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({quote(field.name)}{more})")

    # -- transactions -----------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run one transaction; a nested one is a savepoint. Any exception rolls it back."""
        if self._depth:
            with self.savepoint():
                yield
            return
        self.connection.execute("BEGIN IMMEDIATE")
        self._depth = 1
        self.changes = []
        try:
            yield
            if self.changes:
                for listener in self.commit_listeners:
                    listener(self.changes)
            for name in self._dirty:
                self.connection.execute(
                    "INSERT INTO _sequence VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (name, self._sequences[name]),
                )
            self.connection.execute("COMMIT")
        except BaseException as error:
            self.connection.execute("ROLLBACK")
            if isinstance(error, RetryTransactionError):
                self.after_transaction.clear()
            raise
        else:
            self._dirty.clear()
        finally:
            self._depth = 0
            self.changes = []
            later, self.after_transaction = self.after_transaction, []
            for act in later:
                act()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        if not self._depth:
            with self.transaction():
                yield
            return
        self._depth += 1
        name = f"s{self._depth}"
        mark = len(self.changes)
        self.connection.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            self.connection.execute(f"ROLLBACK TO {name}")
            self.connection.execute(f"RELEASE {name}")
            del self.changes[mark:]
            raise
        else:
            self.connection.execute(f"RELEASE {name}")
        finally:
            self._depth -= 1

    # -- small facts ------------------------------------------------------------------------------------------------

    def next_number(self, name: str, *, first: int = 1) -> int:
        value = self._sequences.get(name, first - 1) + 1
        self._sequences[name] = value
        self._dirty.add(name)
        return value

    def get_meta(self, key: str) -> str | None:
        row = self.connection.execute("SELECT value FROM _meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self.connection.execute(
            "INSERT INTO _meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
        )
