"""Hold the rows of an import in a temporary SQLite database, so that memory stays flat whatever the size of the input.

All rows are read and checked before the first is stored. The database is a file without a name, so that nothing is left
behind however the process ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import groupby
from typing import Any

import orjson

from connector.errors import ConnectorError
from connector.orders.importing.column_sources import ABSENT, DEFAULT
from connector.orders.importing.order_lines import LineRow
from connector.orders.importing.reader import Place

CACHED = 5_000
"""Entities of a kind that are held in memory for merging with further rows."""
BUFFERED = 2_000

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16000;
CREATE TABLE entities (kind TEXT, key TEXT, sub TEXT, body BLOB, PRIMARY KEY (kind, key, sub)) WITHOUT ROWID;
CREATE TABLE lines (key TEXT, position INTEGER, number INTEGER, body BLOB, file INTEGER, line INTEGER,
  PRIMARY KEY (key, position)) WITHOUT ROWID;
CREATE TABLE spoiled (kind TEXT, key TEXT, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE joined (id INTEGER, key TEXT, position INTEGER, value TEXT, file INTEGER, line INTEGER,
  PRIMARY KEY (id, key, position)) WITHOUT ROWID;
"""

_LINES = 10**10
"""More lines than a file can have: a place is stored as file * _LINES + line."""

Columns = dict[str, tuple[int, str]]
"""The column, from 1, and header of each field."""


class Entity:
    """The merged rows of one customer, product, price or order: for each field its value, rank (see `values.py`) and
    place."""

    __slots__ = ("changed", "places", "ranks", "values")

    def __init__(self, values: list[Any], ranks: list[int], places: list[int]) -> None:
        self.values = values
        self.ranks = ranks
        self.places = places
        self.changed = True


class Spool:
    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")
        self._files: list[tuple[str, dict[str, Columns]]] = []
        self._cache: dict[str, dict[tuple[str, str], Entity]] = {}
        self._flushed: set[str] = set()
        self._lines: list[tuple[Any, ...]] = []
        self._joined: list[tuple[Any, ...]] = []
        self._position = 0
        self._any_spoiled = False

    def close(self) -> None:
        self._db.close()

    def add_file(self, name: str, columns: dict[str, Columns]) -> int:
        """Register a file with its columns by kind; rows refer to it by the number returned."""
        self._files.append((name, columns))
        return len(self._files) - 1

    def place(self, kind: str, file: int, line: int, field: str | None = None) -> Place:
        name, columns = self._files[file]
        column, header = columns.get(kind, {}).get(field or "", (1, ""))
        return Place(name, line, column, header)

    @staticmethod
    def place_number(file: int, line: int) -> int:
        """Return a place as a number."""
        return file * _LINES + line

    def file_and_line(self, place: int) -> str:
        file, line = divmod(place, _LINES)
        return f"{self._files[file][0]}:{line}"

    def place_of(self, kind: str, place: int, field: str | None = None) -> Place:
        return self.place(kind, *divmod(place, _LINES), field)

    # Entities

    def find(self, kind: str, key: str, sub: str = "") -> Entity | None:
        cache = self._cache.setdefault(kind, {})
        entity = cache.get((key, sub))
        if entity is None and kind in self._flushed:
            with _disk_errors():
                row = self._db.execute(
                    "SELECT body FROM entities WHERE kind = ? AND key = ? AND sub = ?", (kind, key, sub)
                ).fetchone()
            if row is not None:
                entity = cache[key, sub] = Entity(*orjson.loads(row[0]))
                entity.changed = False
        return entity

    def stored(self, kind: str, key: str, sub: str = "") -> Entity | None:
        """Return an entity, as `find` does; call it after `finish`."""
        row = self._db.execute(
            "SELECT body FROM entities WHERE kind = ? AND key = ? AND sub = ?", (kind, key, sub)
        ).fetchone()
        return None if row is None else Entity(*orjson.loads(row[0]))

    def put(self, kind: str, key: str, sub: str, entity: Entity) -> None:
        cache = self._cache.setdefault(kind, {})
        cache[key, sub] = entity
        if len(cache) >= CACHED:
            self._flush(kind)

    def _flush(self, kind: str) -> None:
        cache = self._cache.get(kind, {})
        rows = [
            (kind, key, sub, orjson.dumps((entity.values, entity.ranks, entity.places)))
            for (key, sub), entity in cache.items() if entity.changed
        ]  # fmt: skip
        with _disk_errors():
            self._db.executemany("INSERT OR REPLACE INTO entities VALUES (?, ?, ?, ?)", rows)
        self._flushed.add(kind)
        cache.clear()

    # Lines

    def add_line(self, order: str, number: int | None, values: list[Any], file: int, line: int) -> None:
        self._position += 1
        self._lines.append((order, self._position, number, orjson.dumps(values), file, line))
        if len(self._lines) >= BUFFERED:
            self._flush_lines()

    def _flush_lines(self) -> None:
        with _disk_errors():
            self._db.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)", self._lines)
        self._lines.clear()

    # Rows of joined files

    def add_joined_row(self, number: int, key: str, value: str | None, file: int, line: int) -> None:
        """Store a row of a joined file; `value` is None if the row cannot be used."""
        self._position += 1
        self._joined.append((number, key, self._position, value, file, line))
        if len(self._joined) >= BUFFERED:
            self.flush_joined()

    def flush_joined(self) -> None:
        with _disk_errors():
            self._db.executemany("INSERT INTO joined VALUES (?, ?, ?, ?, ?, ?)", self._joined)
        self._joined.clear()

    def matching(self, number: int, key: str) -> list[tuple[str | None, int, int]]:
        """Return value, file and line of the rows with that key, in the order of the input."""
        return self._db.execute(
            "SELECT value, file, line FROM joined WHERE id = ? AND key = ? ORDER BY position", (number, key)
        ).fetchall()

    # Entities with a bad row

    def spoil(self, kind: str, key: str) -> None:
        """Note that the entity has a bad row."""
        self._any_spoiled = True
        with _disk_errors():
            self._db.execute("INSERT INTO spoiled VALUES (?, ?) ON CONFLICT DO NOTHING", (kind, key))

    def mark_row_without_line(self, order: str) -> None:
        """Note that a row of the order has no line."""
        with _disk_errors():
            self._db.execute("INSERT INTO spoiled VALUES ('empty', ?) ON CONFLICT DO NOTHING", (order,))

    def has_row_without_line(self, order: str) -> bool:
        """Return whether a row of the order had no line."""
        row = self._db.execute("SELECT 1 FROM spoiled WHERE kind = 'empty' AND key = ?", (order,)).fetchone()
        return row is not None

    def is_spoiled(self, kind: str, key: str) -> bool:
        if not self._any_spoiled:
            return False
        row = self._db.execute("SELECT 1 FROM spoiled WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return row is not None

    def all_spoiled(self, kind: str) -> Iterator[str]:
        for (key,) in self._db.execute("SELECT key FROM spoiled WHERE kind = ? ORDER BY key", (kind,)):
            yield key

    # Reading, after the last row was added

    def finish(self) -> None:
        self._flush_lines()
        for kind in list(self._cache):
            self._flush(kind)

    def count(self, kind: str) -> int:
        return int(self._db.execute("SELECT COUNT(DISTINCT key) FROM entities WHERE kind = ?", (kind,)).fetchone()[0])

    def entities(self, kind: str) -> Iterator[tuple[str, str, Entity]]:
        """Yield key, sub key and entity, by key."""
        for key, sub, body in self._db.execute(
            "SELECT key, sub, body FROM entities WHERE kind = ? ORDER BY key, sub", (kind,)
        ):
            yield key, sub, Entity(*orjson.loads(body))

    def lines(self) -> Iterator[tuple[str, list[LineRow]]]:
        """Yield the number and lines of each order that has lines, by number; the lines in the order of the input."""
        rows = self._db.execute("SELECT key, number, body, file, line FROM lines ORDER BY key, position")
        for key, group in groupby(rows, key=lambda row: row[0]):
            yield key, [LineRow(number, orjson.loads(body), file, line) for _, number, body, file, line in group]


Difference = tuple[int, Any, int]
"""A slot, the value that an earlier row has there, and the place of that row."""


def merge(
    entity: Entity, values: list[Any], ranks: list[int], place: int, *, numeric: frozenset[int], last: bool
) -> list[Difference]:
    """Merge another row into `entity`, and return the explicit values that differ.

    The value with the lower rank wins; of two with the same rank, the first, or with `last` the last.
    """
    differing: list[Difference] = []
    for index, rank in enumerate(ranks):
        before = entity.ranks[index]
        if rank > before or rank == ABSENT:
            continue
        if rank == before and _equal(entity.values[index], values[index], index in numeric):
            continue
        if rank == before and rank < DEFAULT:
            differing.append((index, entity.values[index], entity.places[index]))
            if not last:
                continue
        entity.values[index] = values[index]
        entity.ranks[index] = rank
        entity.places[index] = place
        entity.changed = True
    return differing


def _equal(first: Any, second: Any, numeric: bool) -> bool:
    return first == second or (
        numeric and first is not None and second is not None and Decimal(first) == Decimal(second)
    )


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ConnectorError(
            f"The rows cannot be kept while they are checked: {error}.",
            hint="Make room where temporary files go, or name another folder in TMPDIR.",
        ) from None
