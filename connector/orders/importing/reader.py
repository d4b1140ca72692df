"""Files to rows with their places. What cannot be read at all is refused before anything is stored."""

from __future__ import annotations

import csv
import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connector.errors import UsageError
from connector.orders.importing.profile import Profile

MOST_LINES = 1_000
"""Lines a row can span: a quote that is never closed must not swallow the rest of the file."""

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclass(frozen=True, slots=True)
class Place:
    """`file:line:column: header`, as problems begin."""

    file: str
    line: int
    column: int = 1
    header: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}:" + (f" {self.header}:" if self.header else "")


@dataclass(slots=True)
class Row:
    """One row: texts by header. `line` is the first line of the row in its file; `problem` if it cannot be used."""

    file: str
    line: int
    values: dict[str, str]
    columns: dict[str, int] = field(default_factory=dict)
    problem: str | None = None

    def place(self, header: str | None) -> Place:
        return Place(self.file, self.line, self.columns.get(header or "", 1), header or "")


class Table:
    """A CSV file with a header. UsageError if it is missing, not in its encoding, or has no usable header."""

    def __init__(self, path: Path, profile: Profile) -> None:
        self._path = path
        self._profile = profile
        self.header = self._header()

    def rows(self) -> Iterator[Row]:
        columns = {name: index for index, name in enumerate(self.header, start=1)}
        for line, cells, problem in self._lines(skip=1):
            row = Row(self._path.name, line, dict(zip(self.header, cells, strict=False)), columns, problem)
            if problem is None and len(cells) != len(self.header):
                found = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
                row.problem = f"has {found} where the header has {len(self.header)}; check the delimiter"
            yield row

    def _header(self) -> list[str]:
        first = next(self._lines(skip=0), None)
        if first is None:
            raise UsageError(f"{self._path.name} is empty; it needs a header line.")
        line, cells, problem = first
        if problem is not None:
            raise UsageError(f"{self._path.name}:{line}: the header {problem}.")
        names = [name.strip() for name in cells]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"{self._path.name}:{line}: the header names {', '.join(map(repr, twice))} twice.")
        return names

    def _lines(self, *, skip: int) -> Iterator[tuple[int, list[str], str | None]]:
        """Rows that are not blank: the line each begins on, its cells, and why it cannot be used.

        A row with broken quotes costs its first line only: reading goes on with the next.
        """
        profile = self._profile
        lines: _Lines | None = None
        try:
            with self._path.open(encoding=profile.encoding, newline="") as file:
                lines = _Lines(file)
                dialect: dict[str, Any] = {"delimiter": profile.delimiter, "quotechar": profile.quote}
                reader = csv.reader(lines, **dialect, strict=True)
                while True:
                    begins = lines.begin()
                    problem = None
                    try:
                        cells = next(reader)
                    except StopIteration:
                        return
                    except csv.Error as error:
                        cells = _leniently(lines.retreat(), dialect)
                        problem = f"cannot be read as a row ({error}); check its quotes"
                        reader = csv.reader(lines, **dialect, strict=True)
                    if any(cells) or problem:
                        if skip:
                            skip -= 1
                        else:
                            yield begins, cells, problem
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {error.strerror}.") from None
        except UnicodeError:
            raise UsageError(
                f"{self._path.name} is not {profile.encoding.removesuffix('-sig')}"
                f" (at or after line {lines.number + 1 if lines else 1}).",
                hint="Name its encoding in a profile.",
            ) from None


def _leniently(line: str, dialect: Mapping[str, Any]) -> list[str]:
    """What a line with broken quotes seems to say: enough to name the order it spoils."""
    try:
        return next(csv.reader([line], **dialect), [])
    except csv.Error:
        return []


class _Lines:
    """The lines of a file, which can go back to the second line of the row being read. A row has a most."""

    def __init__(self, file: Iterator[str]) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self._row: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self._row) >= MOST_LINES:
            raise StopIteration
        line = self._again.popleft() if self._again else next(self._file)
        self._row.append(line)
        self.number += 1
        return line

    def begin(self) -> int:
        """The number of the line that comes next: a row begins there."""
        self._row.clear()
        return self.number + 1

    def retreat(self) -> str:
        """The first line of the row being read; what follows it will be read again."""
        first, *rest = self._row
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)
        return first


def ndjson(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """One JSON object a line; a text instead says what is wrong with the line. Numbers come as their text."""
    line = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                try:
                    found = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
                except (ValueError, RecursionError) as error:
                    yield line, f"is not JSON ({str(error).partition(':')[0]}); write one object a line"
                    continue
                yield line, found if isinstance(found, dict) else "is not an object; write one order a line"
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeError:
        raise UsageError(f"{path.name} is not UTF-8 (at or after line {line + 1}).", hint="Save it as UTF-8.") from None
