"""The report of an import: what it stored, the faults of rows that were not stored, and notices about others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.orders.importing.reader import Place
from connector.store.sql import Saved

MOST_KEPT = 10_000
"""Faults, notices and order numbers as texts; all of them are counted."""
MOST_PLACES = 5


@dataclass(kw_only=True)
class Group:
    """Rows of a file with the same problem: the text of the first, and the line numbers of a few more."""

    text: str
    count: int = 0
    lines: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        if self.count == 1:
            return self.text
        more = self.count - 1
        dots = ", …" if more > len(self.lines) else ""
        listed = ", ".join(map(str, self.lines))
        return f"{self.text} ({more:,} more like it, in {'line' if more == 1 else 'lines'} {listed}{dots})"


class Remarks(Sequence[str]):
    """Remarks about rows, in the order in which they were added; each begins with its place."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.total = 0
        self._groups: dict[tuple[str, str, str], Group] = {}

    def add(self, place: Place, what: str, kind: str = "") -> None:
        """Add a remark. Remarks of one file, column and `kind` form a group; `kind` is `what` if it is empty."""
        text = f"{place} {what}"
        self.total += 1
        if len(self.texts) < MOST_KEPT:
            self.texts.append(text)
        key = (place.file, place.header, kind or what)
        if key not in self._groups and len(self._groups) >= MOST_KEPT:
            return
        group = self._groups.setdefault(key, Group(text=text))
        group.count += 1
        if group.count > 1 and len(group.lines) < MOST_PLACES:
            group.lines.append(place.line)

    @property
    def groups(self) -> list[Group]:
        return list(self._groups.values())

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.texts[index]


@dataclass(kw_only=True)
class ImportReport:
    """Counts and remarks of an import.

    `saved`: stored entities by kind. `lines`: the lines of stored orders. `bad`: bad rows by kind. `left_out`: orders
    that were not stored because of a bad row. `expected`: entities to store by kind, known once all rows are read.
    """

    saved: dict[str, Saved] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    faults: Remarks = field(default_factory=Remarks)
    changes: Remarks = field(default_factory=Remarks)
    left_out: list[str] = field(default_factory=list)
    left_out_count: int = 0

    @property
    def problems(self) -> list[str]:
        return self.faults.texts

    @property
    def notices(self) -> list[str]:
        return self.changes.texts

    def fault(self, kind: str, place: Place, what: str, sort: str = "") -> None:
        """Report a row of `kind` that cannot be used."""
        self.bad[kind] += 1
        self.faults.add(place, what, sort)

    def leave_out(self, order: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < MOST_KEPT:
            self.left_out.append(order)

    def add(self, kind: str, saved: Saved) -> None:
        self.saved[kind] = self.saved.get(kind, Saved()) + saved

    def done(self, kind: str) -> int:
        saved = self.saved.get(kind, Saved())
        return saved.created + saved.updated + saved.unchanged
