"""Rows on their way, in a temporary SQLite file: memory stays flat, whatever the size and order of the input.

Everything is read and checked row by row before the first of it is stored.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector.orders.importing.reader import Place

_DECIMALS = {"quantity", "unit_price", "discount", "freight", "tax_rate", "stated_total"}


@dataclass(frozen=True, slots=True)
class Spooled:
    """A good row: its keys, the values of the fields it has (None where the cell was empty), and where it stood."""

    key: str
    sub: str
    values: dict[str, Any]
    file: str
    line: int
    columns: dict[str, tuple[int, str]]

    def place(self, name: str | None = None) -> Place:
        column, header = self.columns.get(name or "", (1, ""))
        return Place(self.file, self.line, column, header)


class Spool:
    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="connector-import-")
        self._db = sqlite3.connect(Path(self._folder.name) / "rows.db", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(
            "CREATE TABLE rows (kind TEXT, key TEXT, sub TEXT, body TEXT, file INTEGER, line INTEGER,"
            " PRIMARY KEY (kind, key, sub))"
        )
        self._db.execute("CREATE TABLE bad (key TEXT, line INTEGER, PRIMARY KEY (key, line)) WITHOUT ROWID")
        self._files: list[tuple[str, dict[str, tuple[int, str]]]] = []
        self._db.execute("BEGIN")

    def close(self) -> None:
        self._db.close()
        self._folder.cleanup()

    def file(self, name: str, columns: dict[str, tuple[int, str]]) -> int:
        """Register a file with the column and header behind each field; rows refer to it by the number returned."""
        self._files.append((name, columns))
        return len(self._files) - 1

    def add(self, kind: str, key: str, sub: str, values: dict[str, Any], file: int, line: int) -> int | None:
        """Keep a row. The line of an earlier one with these keys, if that says something else; the first stands."""
        body = json.dumps(values, default=_plain, ensure_ascii=False)
        added = self._db.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", (kind, key, sub, body, file, line)
        )
        if added.rowcount:
            return None
        earlier, where = self._db.execute(
            "SELECT body, line FROM rows WHERE kind = ? AND key = ? AND sub = ?", (kind, key, sub)
        ).fetchone()
        return None if earlier == body else int(where)

    def next_line(self, order: str) -> int:
        found = self._db.execute("SELECT COUNT(*) FROM rows WHERE kind = 'lines' AND key = ?", (order,)).fetchone()
        return int(found[0]) + 1

    def spoil(self, order: str, line: int) -> None:
        """The order has a bad line: it is left out whole."""
        self._db.execute("INSERT INTO bad VALUES (?, ?) ON CONFLICT DO NOTHING", (order, line))

    def spoilt(self, order: str) -> int:
        """How many bad lines the order has."""
        return int(self._db.execute("SELECT COUNT(*) FROM bad WHERE key = ?", (order,)).fetchone()[0])

    def count(self, kind: str) -> int:
        return int(self._db.execute("SELECT COUNT(DISTINCT key) FROM rows WHERE kind = ?", (kind,)).fetchone()[0])

    def rows(self, kind: str) -> Iterator[Spooled]:
        """All rows of a kind, those of a key together, else in the order of the input."""
        yield from self._read(
            "SELECT key, sub, body, file, line FROM rows WHERE kind = ?"
            " ORDER BY MIN(rowid) OVER (PARTITION BY key), rowid",
            kind,
        )

    def of(self, kind: str, key: str) -> list[Spooled]:
        return list(
            self._read(
                "SELECT key, sub, body, file, line FROM rows WHERE kind = ? AND key = ? ORDER BY rowid", kind, key
            )
        )

    def lines_without_order(self) -> Iterator[str]:
        """Orders that only lines name."""
        for (key,) in self._db.execute(
            "SELECT DISTINCT key FROM rows AS line WHERE kind = 'lines' AND NOT EXISTS"
            " (SELECT 1 FROM rows WHERE kind = 'orders' AND key = line.key) ORDER BY key"
        ):
            yield key

    def _read(self, sql: str, *values: str) -> Iterator[Spooled]:
        for key, sub, body, file, line in self._db.execute(sql, values):
            name, columns = self._files[file]
            yield Spooled(key, sub, {k: _typed(k, v) for k, v in json.loads(body).items()}, name, line, columns)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _typed(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in _DECIMALS:
        return Decimal(value)
    if name == "placed_at":
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if name in {"promised_on", "shipped_on"} else value
