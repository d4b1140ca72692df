"""Rows on their way, in a temporary SQLite database: memory stays flat, whatever the size and order of the input.

Everything is read and checked before the first of it is stored. The database is a file that has no name, so that
nothing is left behind however the process ends.
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
from connector.orders.importing.order_lines import LineRow
from connector.orders.importing.reader import Place
from connector.orders.importing.values import ABSENT, DEFAULT

CACHED = 5_000
"""Entities of a kind that are held in memory, to be merged with further rows."""
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
"""More than a file has."""

Columns = dict[str, tuple[int, str]]
"""The column, from 1, and header behind each field."""


class Entity:
    """What rows say of one customer, product, price or order: for each field its value, how firmly it was said (see
    `values`), and where."""

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

    def file(self, name: str, columns: dict[str, Columns]) -> int:
        """Register a file with its columns by kind; rows refer to it by the number returned."""
        self._files.append((name, columns))
        return len(self._files) - 1

    def place(self, kind: str, file: int, line: int, field: str | None = None) -> Place:
        name, columns = self._files[file]
        column, header = columns.get(kind, {}).get(field or "", (1, ""))
        return Place(name, line, column, header)

    @staticmethod
    def at(file: int, line: int) -> int:
        """A place as a number."""
        return file * _LINES + line

    def told_at(self, place: int) -> str:
        file, line = divmod(place, _LINES)
        return f"{self._files[file][0]}:{line}"

    def place_of(self, kind: str, place: int, field: str | None = None) -> Place:
        return self.place(kind, *divmod(place, _LINES), field)

    # Entities

    def find(self, kind: str, key: str, sub: str = "") -> Entity | None:
        cache = self._cache.setdefault(kind, {})
        found = cache.get((key, sub))
        if found is None and kind in self._flushed:
            with _writing():
                row = self._db.execute(
                    "SELECT body FROM entities WHERE kind = ? AND key = ? AND sub = ?", (kind, key, sub)
                ).fetchone()
            if row is not None:
                found = cache[key, sub] = Entity(*orjson.loads(row[0]))
                found.changed = False
        return found

    def stored(self, kind: str, key: str, sub: str = "") -> Entity | None:
        """As `find`, after the last row was put in."""
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
        with _writing():
            self._db.executemany("INSERT OR REPLACE INTO entities VALUES (?, ?, ?, ?)", rows)
        self._flushed.add(kind)
        cache.clear()

    # Lines

    def line(self, order: str, number: int | None, values: list[Any], file: int, line: int) -> None:
        self._position += 1
        self._lines.append((order, self._position, number, orjson.dumps(values), file, line))
        if len(self._lines) >= BUFFERED:
            self._flush_lines()

    def _flush_lines(self) -> None:
        with _writing():
            self._db.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)", self._lines)
        self._lines.clear()

    # Rows of other files, joined by a key

    def join(self, number: int, key: str, value: str | None, file: int, line: int) -> None:
        """Keep a row of a file that is joined; `value` None: it cannot be used."""
        self._position += 1
        self._joined.append((number, key, self._position, value, file, line))
        if len(self._joined) >= BUFFERED:
            self.flush_joined()

    def flush_joined(self) -> None:
        with _writing():
            self._db.executemany("INSERT INTO joined VALUES (?, ?, ?, ?, ?, ?)", self._joined)
        self._joined.clear()

    def matching(self, number: int, key: str) -> list[tuple[str | None, int, int]]:
        """Value, file and line of the rows with that key, in their order."""
        return self._db.execute(
            "SELECT value, file, line FROM joined WHERE id = ? AND key = ? ORDER BY position", (number, key)
        ).fetchall()

    # What cannot be used

    def spoil(self, kind: str, key: str) -> None:
        """A row of it is bad."""
        self._any_spoiled = True
        with _writing():
            self._db.execute("INSERT INTO spoiled VALUES (?, ?) ON CONFLICT DO NOTHING", (kind, key))

    def mark_empty(self, order: str) -> None:
        """A row of the order has no line."""
        with _writing():
            self._db.execute("INSERT INTO spoiled VALUES ('empty', ?) ON CONFLICT DO NOTHING", (order,))

    def empty(self, order: str) -> bool:
        """Whether a row of the order had no line."""
        found = self._db.execute("SELECT 1 FROM spoiled WHERE kind = 'empty' AND key = ?", (order,)).fetchone()
        return found is not None

    def spoiled(self, kind: str, key: str) -> bool:
        if not self._any_spoiled:
            return False
        found = self._db.execute("SELECT 1 FROM spoiled WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return found is not None

    def all_spoiled(self, kind: str) -> Iterator[str]:
        for (key,) in self._db.execute("SELECT key FROM spoiled WHERE kind = ? ORDER BY key", (kind,)):
            yield key

    # Reading back, after the last row was put in

    def finish(self) -> None:
        self._flush_lines()
        for kind in list(self._cache):
            self._flush(kind)

    def count(self, kind: str) -> int:
        return int(self._db.execute("SELECT COUNT(DISTINCT key) FROM entities WHERE kind = ?", (kind,)).fetchone()[0])

    def entities(self, kind: str) -> Iterator[tuple[str, str, Entity]]:
        """By key."""
        for key, sub, body in self._db.execute(
            "SELECT key, sub, body FROM entities WHERE kind = ? ORDER BY key, sub", (kind,)
        ):
            yield key, sub, Entity(*orjson.loads(body))

    def lines(self) -> Iterator[tuple[str, list[LineRow]]]:
        """Orders that have lines, by number, each with its lines in the order of the input."""
        rows = self._db.execute("SELECT key, number, body, file, line FROM lines ORDER BY key, position")
        for key, group in groupby(rows, key=lambda row: row[0]):
            yield key, [LineRow(number, orjson.loads(body), file, line) for _, number, body, file, line in group]


Difference = tuple[int, Any, int]
"""A field, what another row says there, and where that row is."""


def merge(
    entity: Entity, values: list[Any], ranks: list[int], place: int, *, numeric: frozenset[int], last: bool
) -> list[Difference]:
    """Add to `entity` what another row says: what is said more firmly stands; of two that are said as firmly and
    differ, the first, or the `last`. Those that differed."""
    differing: list[Difference] = []
    for index, rank in enumerate(ranks):
        before = entity.ranks[index]
        if rank > before or rank == ABSENT:
            continue
        if rank == before and _same(entity.values[index], values[index], index in numeric):
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


def _same(one: Any, other: Any, numeric: bool) -> bool:
    return one == other or (numeric and one is not None and other is not None and Decimal(one) == Decimal(other))


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ConnectorError(
            f"The rows cannot be kept while they are checked: {error}.",
            hint="Make room where temporary files go, or name another folder in TMPDIR.",
        ) from None
