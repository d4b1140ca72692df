"""Files that are joined to others by a key: their rows on the spool, and what a key finds there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from connector.orders.importing.fields import BadValueError, Form, amount, shown
from connector.orders.importing.plan import JoinError
from connector.orders.importing.profile import Value
from connector.orders.importing.reader import Table
from connector.orders.importing.spool import Spool

REMEMBERED = 5_000
MOST_SHOWN = 5


class Joins:
    """`numbers`: each join of the profile by what it looks up."""

    def __init__(self, spool: Spool, form: Form) -> None:
        self._spool = spool
        self._form = form
        self._numbers: dict[tuple[str, str, str], int] = {}

    def register(self, join: Value) -> int:
        return self._numbers.setdefault(_what(join), len(self._numbers))

    def reading(self, name: str, table: Table) -> Callable[[int, list[str], bool], None]:
        """What takes the rows of a file of that name in the profile: line, cells, and whether they can be used."""
        number = self._spool.file(table.name, {})
        wanted = [
            (join, table.columns(key)[0] - 1, table.columns(column)[0] - 1)
            for (file, key, column), join in self._numbers.items()
            if file == name
        ]

        def take(line: int, cells: list[str], good: bool) -> None:
            for join, key, column in wanted:
                found = cells[key].strip() if key < len(cells) else ""
                text = cells[column].strip() if good else ""
                if found and (text or not good):
                    self._spool.join(join, found, text if good else None, number, line)

        return take

    def lookup(self, join: Value) -> Callable[[str], str | None]:
        """A function from a key to the text that is joined; it raises JoinError."""
        number, known = self.register(join), dict[str, str | None]()

        def find(key: str) -> str | None:
            if key not in known:
                if len(known) >= REMEMBERED:
                    known.clear()
                known[key] = self._found(join, number, key)
            return known[key]

        return find

    def _found(self, join: Value, number: int, key: str) -> str | None:
        rows = self._spool.matching(number, key)
        if any(text is None for text, _, _ in rows):
            raise JoinError  # that row was told
        if len(rows) < 2 and not join.sum:
            return rows[0][0] if rows else None
        places = [f"{place.file}:{place.line}" for place in (self._spool.place("", row[1], row[2]) for row in rows)]
        if not join.sum:
            what = f"matches {len(rows)} rows of {join.column}: {_listed(places)}"
            raise JoinError(
                f"{shown(key)} {what}; keep one, or say `sum: true` in the join to add numbers", "matches several rows"
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


def _what(join: Value) -> tuple[str, str, str]:
    return join.join or "", join.key or "", join.column or ""


def _listed(places: Sequence[str]) -> str:
    more = len(places) - MOST_SHOWN
    return ", ".join(places[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def joined_columns(joins: Sequence[Value]) -> Mapping[str, set[str]]:
    """By file, the columns that joins read there."""
    found: dict[str, set[str]] = {}
    for join in joins:
        found.setdefault(join.join or "", set()).update({join.key or "", join.column or ""})
    return found
