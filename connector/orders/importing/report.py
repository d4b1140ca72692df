"""What an import did, and what it has to say about rows: faults, each of which cost something, and notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.orders.importing.reader import Place
from connector.store.sql import Saved

MOST_KEPT = 10_000
"""Faults, notices and numbers of orders that are kept by their words; all of them are counted."""
MOST_PLACES = 5


@dataclass(kw_only=True)
class Group:
    """Rows of a file that are wrong in the same way: the first in full, the lines of a few more."""

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
    """Sentences that begin with their place, in the order in which they were found."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.total = 0
        self._groups: dict[tuple[str, str, str], Group] = {}

    def add(self, place: Place, what: str, kind: str = "") -> None:
        """`kind`: what it has in common with others of its sort, if that is not the whole of `what`."""
        text = f"{place} {what}"
        self.total += 1
        if len(self.kept) < MOST_KEPT:
            self.kept.append(text)
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
        return len(self.kept)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.kept[index]


@dataclass(kw_only=True)
class ImportReport:
    """Entities by kind, `lines` those of stored orders; `bad` counts rows by kind, `left_out` names
    orders of which a row was bad. `expected` is how many entities of each kind are to be stored, once that is known."""

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
        return self.faults.kept

    @property
    def notices(self) -> list[str]:
        return self.changes.kept

    def fault(self, kind: str, place: Place, what: str, sort: str = "") -> None:
        """A row of `kind` cannot be used."""
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
