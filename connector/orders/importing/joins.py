"""Join files by a key: store the joined rows on the spool, and look values up by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from connector.orders.importing.field_parsers import (
    BadValueError,
    NumberAndDateFormat,
    amount,
    quote_value,
)
from connector.orders.importing.plan import JoinError
from connector.orders.importing.profile import Value
from connector.orders.importing.reader import Table
from connector.orders.importing.spool import Spool

CACHE_SIZE = 5_000
MOST_SHOWN = 5


class Joins:
    """The joins of a profile. Two joins of the same file, key and column share one number on the spool."""

    def __init__(self, spool: Spool, form: NumberAndDateFormat) -> None:
        self._spool = spool
        self._form = form
        self._numbers: dict[tuple[str, str, str], int] = {}

    def register(self, join: Value) -> int:
        return self._numbers.setdefault(_join_key(join), len(self._numbers))

    def row_collector(self, name: str, table: Table) -> Callable[[int, list[str], bool], None]:
        """Return a function that stores the rows of the file which is `name` in the profile.

        It takes the line, the cells, and whether the row is usable.
        """
        number = self._spool.add_file(table.name, {})
        columns = [
            (join, table.columns(key)[0] - 1, table.columns(column)[0] - 1)
            for (file, key, column), join in self._numbers.items()
            if file == name
        ]

        def take(line: int, cells: list[str], good: bool) -> None:
            for join, key, column in columns:
                key_text = cells[key].strip() if key < len(cells) else ""
                text = cells[column].strip() if good else ""
                if key_text and (text or not good):
                    self._spool.add_joined_row(join, key_text, text if good else None, number, line)

        return take

    def lookup(self, join: Value) -> Callable[[str], str | None]:
        """Return a function from a key to the joined text; it raises JoinError."""
        number, cache = self.register(join), dict[str, str | None]()

        def find(key: str) -> str | None:
            if key not in cache:
                if len(cache) >= CACHE_SIZE:
                    cache.clear()
                cache[key] = self._load_value(join, number, key)
            return cache[key]

        return find

    def _load_value(self, join: Value, number: int, key: str) -> str | None:
        rows = self._spool.matching(number, key)
        if any(text is None for text, _, _ in rows):
            raise JoinError  # the joined row has been reported
        if len(rows) < 2 and not join.sum:
            return rows[0][0] if rows else None
        places = [f"{place.file}:{place.line}" for place in (self._spool.place("", row[1], row[2]) for row in rows)]
        if not join.sum:
            what = f"matches {len(rows)} rows of {join.column}: {_list_places(places)}"
            raise JoinError(
                f"{quote_value(key)} {what}; keep one, or say `sum: true` in the join to add numbers",
                "matches several rows",
            )
        return self._total(join, [text or "" for text, _, _ in rows], places)

    def _total(self, join: Value, texts: Sequence[str], places: Sequence[str]) -> str | None:
        total = Decimal(0)
        for text, place in zip(texts, places, strict=True):
            try:
                total += amount(text, self._form)
            except BadValueError as error:
                raise JoinError(f"cannot be added up: {place}: {join.column}: {error}", error.kind) from None
        return f"{total:f}".replace(".", self._form.decimal) if texts else None


def _join_key(join: Value) -> tuple[str, str, str]:
    return join.join or "", join.key or "", join.column or ""


def _list_places(places: Sequence[str]) -> str:
    more = len(places) - MOST_SHOWN
    return ", ".join(places[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def joined_columns(joins: Sequence[Value]) -> Mapping[str, set[str]]:
    """Return the columns that joins read, by the file's name in the profile."""
    columns: dict[str, set[str]] = {}
    for join in joins:
        columns.setdefault(join.join or "", set()).update({join.key or "", join.column or ""})
    return columns
