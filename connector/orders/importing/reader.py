"""Files to rows with their places. What cannot be read at all is refused before anything is stored."""

from __future__ import annotations

import csv
import re
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from connector.errors import UsageError
from connector.model.literals import MOST_DIGITS
from connector.model.strict_json import number_of, parse_json
from connector.orders.importing.profile import Profile
from connector.orders.importing.quotes import swallows

MOST_LINES = 1_000
"""Lines a row can span: a quote that is never closed must not swallow the rest of the file."""
MOST_CHARACTERS = 2_000_000
"""Of one line."""

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

_SEPARATOR = re.compile(r'"?sep=(.)"?\s*\Z', re.IGNORECASE)
_BEGINNINGS = (
    (b"PK\x03\x04", "is a spreadsheet (or another zip archive), not CSV", "Save the sheet as CSV, and import that."),
    (b"\xd0\xcf\x11\xe0", "is a spreadsheet, not CSV", "Save the sheet as CSV, and import that."),
    (b"\x1f\x8b", "is compressed", "Unpack it, and import what is in it."),
    (b"%PDF", "is a PDF, not CSV", "Export the orders as CSV."),
    (b"SQLite format 3", "is a database, not CSV", "Export its tables as CSV."),
)
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True, slots=True)
class Place:
    """`file:line:column: header`, as problems begin."""

    file: str
    line: int
    column: int = 1
    header: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}:" + (f" {self.header}:" if self.header else "")


Cells = tuple[int, list[str], str | None]
"""The line a row begins on, its cells, and why it cannot be used."""


class Table:
    """A CSV file with a header. UsageError if it is missing, not in its encoding, or has no usable header.

    `name` is what messages call it.
    """

    def __init__(self, path: Path, profile: Profile, name: str = "") -> None:
        self.path = path
        self.name = name or path.name
        self._profile = profile
        self._delimiter = profile.delimiter or ","
        self._raw: Any = None
        self._above = profile.skip_lines
        self.unnamed: list[int] = []
        self._unquoted = "" if profile.own else ", or say `quote: none` in the profile if its cells have none"
        check_bytes(path, self.name, profile.encoding)
        self.header_line, self.header = self._header()
        self.unnamed = [index for index, name in enumerate(self.header) if not name]

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def position(self) -> int:
        """Bytes read so far by `rows`."""
        return self._raw.tell() if self._raw is not None and not self._raw.closed else 0

    def place(self, line: int, column: int = 1) -> Place:
        return Place(self.name, line, column, self.header[column - 1] if column > 1 else "")

    def columns(self, header: str) -> list[int]:
        """The columns, from 1, of that name."""
        return [index for index, name in enumerate(self.header, start=1) if name == header]

    def wider(self) -> bool:
        """Whether one of the first rows has more cells than the header: then that was none."""
        first = islice(self._lines(skip=1), 20)
        return any(len(cells) > len(self.header) for _, cells, _ in first)

    def rows(self) -> Iterator[Cells]:
        """Rows below the header that are not blank, each with a cell for every column."""
        width, unnamed = len(self.header), self.unnamed
        for line, cells, problem in self._lines(skip=1):
            if problem is None:
                problem = _fitted(cells, width, unnamed)
            if problem is None and unnamed and self._profile.own:
                filled = next((index + 1 for index in unnamed if cells[index].strip()), None)
                problem = f"has a value in column {filled}, which has no header" if filled else None
            yield line, cells, problem

    def _header(self) -> tuple[int, list[str]]:
        first = next(self._lines(skip=0), None)
        if first is None:
            raise UsageError(f"{self.name} is empty; it needs a header line.")
        line, cells, problem = first
        if problem is not None:
            raise UsageError(f"{self.name}:{line}: the header {problem}.")
        return line, [name.strip() for name in cells]

    def _lines(self, *, skip: int) -> Iterator[Cells]:
        """Rows that are not blank; one with broken quotes costs its first line only: reading goes on with the next."""
        lines: _Lines | None = None
        try:
            with self.path.open(encoding=self._profile.encoding, newline="") as file:
                self._raw = file.buffer
                lines = _Lines(file, self.name)
                lines.skip(self._above)
                self._separator(lines)
                for row in self._parsed(lines):
                    if skip:
                        skip -= 1
                    else:
                        yield row
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}.") from None
        except UnicodeError:
            raise UsageError(
                f"{self.name} is not {self._profile.encoding.removesuffix('-sig')}"
                f" (at or after line {lines.number + 1 if lines else 1}).",
                hint="Name its encoding in a profile.",
            ) from None

    def _parsed(self, lines: _Lines) -> Iterator[Cells]:
        dialect = self._dialect()
        reader = csv.reader(lines, **dialect)
        width = 0
        while True:
            begins = lines.begin()
            problem = None
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells = _leniently(lines.retreat(), dialect)
                said = str(error).replace("\t", "\\t")
                problem = f"cannot be read as a row ({said}); check its quotes{self._unquoted}"
                reader = csv.reader(lines, **dialect)
            if width and not problem and swallows(lines.row, self._delimiter, self._profile.quote or "", width):
                problem = f"opens a quote that swallows the rows after it; check its quotes{self._unquoted}"
                cells = _leniently(lines.retreat(), dialect)
                reader = csv.reader(lines, **dialect)
            if problem or any(cells):
                yield begins, cells, problem
                width = width or len(cells)

    def _dialect(self) -> dict[str, Any]:
        quote = self._profile.quote
        if quote is None:
            return {"delimiter": self._delimiter, "quoting": csv.QUOTE_NONE, "strict": True}
        return {"delimiter": self._delimiter, "quotechar": quote, "strict": True}

    def _separator(self, lines: _Lines) -> None:
        """A first line `sep=;`, by which a file tells spreadsheets its delimiter."""
        found = _SEPARATOR.match(lines.peek())
        if found is None:
            return
        if self._profile.delimiter not in {None, found[1]}:
            raise UsageError(
                f"{self.name}:1: says that its delimiter is {found[1]!r}, and the profile {self._profile.delimiter!r}.",
                hint="Correct the profile.",
            )
        self._delimiter = found[1]
        lines.skip(1)


def check_bytes(path: Path, name: str, encoding: str) -> None:
    """UsageError for a file that is something else than text in that encoding."""
    try:
        with path.open("rb") as file:
            begin = file.read(16)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    for beginning, what, hint in _BEGINNINGS:
        if begin.startswith(beginning):
            raise UsageError(f"{name} {what}.", hint=hint)
    for mark, named in _MARKS:
        if begin.startswith(mark) and not encoding.lower().replace("_", "-").startswith(named):
            raise UsageError(f"{name} begins with the mark of {named}, and is to be read as {encoding}.".replace(
                "utf-8-sig", "utf-8"), hint=f"Say `encoding: {named}` in a profile.")  # fmt: skip


def _fitted(cells: list[str], width: int, unnamed: list[int]) -> str | None:
    """Cells that are too many or too few are no fault where they are empty and have no header: a trailing delimiter."""
    if len(cells) == width:
        return None
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        del cells[width:]
    elif len(cells) < width and unnamed[-(width - len(cells)) :] == list(range(len(cells), width)):
        cells.extend([""] * (width - len(cells)))
    else:
        found = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
        return f"has {found} where the header has {width}; check the delimiter"
    return None


def _leniently(line: str, dialect: dict[str, Any]) -> list[str]:
    """What a line with broken quotes seems to say: enough to name the order it spoils."""
    try:
        return next(csv.reader([line], **{**dialect, "strict": False}), [])
    except csv.Error:
        return []


class _Lines:
    """The lines of a file, which can go back to the second line of the row being read. A row has a most."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._read = file.readline
        self._name = name
        self._again: deque[str] = deque()
        self._row: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self._row) >= MOST_LINES:
            raise StopIteration
        line = self._again.popleft() if self._again else self._read(MOST_CHARACTERS)
        if not line:
            raise StopIteration
        if len(line) >= MOST_CHARACTERS:
            raise UsageError(
                f"{self._name}:{self.number + 1}: the line has more than {MOST_CHARACTERS:,} characters.",
                hint="Is it CSV?",
            )
        self._row.append(line)
        self.number += 1
        return line

    @property
    def row(self) -> Sequence[str]:
        """The lines of the row just read."""
        return self._row

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

    def peek(self) -> str:
        """The next line, which stays the next."""
        self._row.clear()
        line = next(self, "")
        if line:
            self._again.appendleft(line)
            self.number -= 1
        return line

    def skip(self, count: int) -> None:
        for _ in range(count):
            self._row.clear()
            next(self, "")


class Objects:
    """NDJSON: one JSON object a line."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or path.name
        self._raw: Any = None
        check_bytes(path, self.name, "utf-8-sig")

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def position(self) -> int:
        return self._raw.tell() if self._raw is not None and not self._raw.closed else 0

    def rows(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Each line's object; a text instead says what is wrong with the line. Numbers come as their text."""
        line = 0
        try:
            with self.path.open(encoding="utf-8-sig") as file:
                self._raw = file.buffer
                while text := file.readline(MOST_CHARACTERS):
                    line += 1
                    if len(text) >= MOST_CHARACTERS:
                        raise UsageError(f"{self.name}:{line}: has more than {MOST_CHARACTERS:,} characters.",
                                         hint="Write one object a line.")  # fmt: skip
                    if text.strip():
                        yield line, _object(text)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}.") from None
        except UnicodeError:
            raise UsageError(f"{self.name} is not UTF-8 (at or after line {line + 1}).",
                             hint="Save it as UTF-8.") from None  # fmt: skip


def _number_text(text: str) -> str:
    """A JSON number as its digits: 1e3 is 1000, as it is by HTTP."""
    if "e" not in text.lower():
        return text
    number = Decimal(number_of(text))
    return f"{number:f}" if abs(number.adjusted()) <= MOST_DIGITS else text


def _object(text: str) -> dict[str, Any] | str:
    try:
        found = parse_json(text, number=_number_text)
    except ValueError as error:
        said = str(error).removeprefix("it is no JSON: ").partition(" (line ")[0]
        return f"is not JSON ({said}); write one object a line"
    return found if isinstance(found, dict) else "is not an object; write one order a line"
