"""Read the rows of CSV and NDJSON files, each with its place; unreadable files are rejected before rows are stored."""

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
from connector.orders.importing.quotes import swallows_rows

MOST_LINES = 1_000
"""Lines that a row can span, so that an unclosed quote does not take in the rest of the file."""
MOST_CHARACTERS = 2_000_000
"""Characters that one line can have."""

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

_SEPARATOR = re.compile(r'"?sep=(.)"?\s*\Z', re.IGNORECASE)
_OTHER_FORMATS = (
    (b"PK\x03\x04", "is a spreadsheet (or another zip archive), not CSV", "Save the sheet as CSV, and import that."),
    (b"\xd0\xcf\x11\xe0", "is a spreadsheet, not CSV", "Save the sheet as CSV, and import that."),
    (b"\x1f\x8b", "is compressed", "Unpack it, and import what is in it."),
    (b"%PDF", "is a PDF, not CSV", "Export the orders as CSV."),
    (b"SQLite format 3", "is a database, not CSV", "Export its tables as CSV."),
)
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file. Problems begin with it, as `file:line:column: header:`."""

    file: str
    line: int
    column: int = 1
    header: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}:" + (f" {self.header}:" if self.header else "")


Cells = tuple[int, list[str], str | None]
"""The line on which a row begins, its cells, and its problem, or None if it can be used."""


class Table:
    """A CSV file with a header. Raises UsageError if the file is missing, in another encoding, or has no valid header.

    `name` is its name in messages.
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
        """The bytes that `rows` has read so far."""
        return self._raw.tell() if self._raw is not None and not self._raw.closed else 0

    def place(self, line: int, column: int = 1) -> Place:
        return Place(self.name, line, column, self.header[column - 1] if column > 1 else "")

    def columns(self, header: str) -> list[int]:
        """Return the columns, from 1, that have that header."""
        return [index for index, name in enumerate(self.header, start=1) if name == header]

    def has_wider_rows(self) -> bool:
        """Return whether one of the first 20 rows has more cells than the header: it is then probably no header."""
        first = islice(self._lines(skip=1), 20)
        return any(len(cells) > len(self.header) for _, cells, _ in first)

    def rows(self) -> Iterator[Cells]:
        """Yield the rows below the header that are not blank, each with a cell for every column."""
        width, unnamed = len(self.header), self.unnamed
        for line, cells, problem in self._lines(skip=1):
            if problem is None:
                problem = _fit_width(cells, width, unnamed)
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
        """Yield the rows that are not blank. After a row with broken quotes, reading resumes on its second line."""
        lines: _LineReader | None = None
        try:
            with self.path.open(encoding=self._profile.encoding, newline="") as file:
                self._raw = file.buffer
                lines = _LineReader(file, self.name)
                lines.skip(self._above)
                self._read_separator_line(lines)
                for row in self._parse_rows(lines):
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

    def _parse_rows(self, lines: _LineReader) -> Iterator[Cells]:
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
                cells = _parse_leniently(lines.retreat(), dialect)
                error_text = str(error).replace("\t", "\\t")
                problem = f"cannot be read as a row ({error_text}); check its quotes{self._unquoted}"
                reader = csv.reader(lines, **dialect)
            if width and not problem and swallows_rows(lines.row, self._delimiter, self._profile.quote or "", width):
                problem = f"opens a quote that swallows the rows after it; check its quotes{self._unquoted}"
                cells = _parse_leniently(lines.retreat(), dialect)
                reader = csv.reader(lines, **dialect)
            if problem or any(cells):
                yield begins, cells, problem
                width = width or len(cells)

    def _dialect(self) -> dict[str, Any]:
        quote = self._profile.quote
        if quote is None:
            return {"delimiter": self._delimiter, "quoting": csv.QUOTE_NONE, "strict": True}
        return {"delimiter": self._delimiter, "quotechar": quote, "strict": True}

    def _read_separator_line(self, lines: _LineReader) -> None:
        """Take the delimiter from a first line `sep=;`, which spreadsheet programs understand."""
        match = _SEPARATOR.match(lines.peek())
        if match is None:
            return
        if self._profile.delimiter not in {None, match[1]}:
            raise UsageError(
                f"{self.name}:1: sets the delimiter {match[1]!r}, but the profile sets {self._profile.delimiter!r}.",
                hint="Correct the profile.",
            )
        self._delimiter = match[1]
        lines.skip(1)


def check_bytes(path: Path, name: str, encoding: str) -> None:
    """Raise UsageError if the file is of another format, or has the byte order mark of another encoding."""
    try:
        with path.open("rb") as file:
            begin = file.read(16)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    for beginning, what, hint in _OTHER_FORMATS:
        if begin.startswith(beginning):
            raise UsageError(f"{name} {what}.", hint=hint)
    for mark, mark_encoding in _BYTE_ORDER_MARKS:
        if begin.startswith(mark) and not encoding.lower().replace("_", "-").startswith(mark_encoding):
            expected = encoding.replace("utf-8-sig", "utf-8")
            raise UsageError(
                f"{name} begins with the byte order mark of {mark_encoding}, but is read as {expected}.",
                hint=f"Say `encoding: {mark_encoding}` in a profile.",
            )


def _fit_width(cells: list[str], width: int, unnamed: list[int]) -> str | None:
    """Cut or extend `cells` to `width`; return the problem if that is not possible.

    Only empty cells without a header can be cut or added: they come from a trailing delimiter.
    """
    if len(cells) == width:
        return None
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        del cells[width:]
    elif len(cells) < width and unnamed[-(width - len(cells)) :] == list(range(len(cells), width)):
        cells.extend([""] * (width - len(cells)))
    else:
        count = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
        return f"has {count} where the header has {width}; check the delimiter"
    return None


def _parse_leniently(line: str, dialect: dict[str, Any]) -> list[str]:
    """Parse a line with broken quotes as far as possible: enough to find the order that it spoils."""
    try:
        return next(csv.reader([line], **{**dialect, "strict": False}), [])
    except csv.Error:
        return []


class _LineReader:
    """The lines of a file; the reader can go back to the second line of the row. A row ends after MOST_LINES."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._read = file.readline
        self._name = name
        self._pushed_back: deque[str] = deque()
        self._row: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self._row) >= MOST_LINES:
            raise StopIteration
        line = self._pushed_back.popleft() if self._pushed_back else self._read(MOST_CHARACTERS)
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
        """The lines of the current row."""
        return self._row

    def begin(self) -> int:
        """Begin a row, and return the number of its first line."""
        self._row.clear()
        return self.number + 1

    def retreat(self) -> str:
        """Go back to the second line of the current row, and return the first."""
        first, *rest = self._row
        self._pushed_back.extendleft(reversed(rest))
        self.number -= len(rest)
        return first

    def peek(self) -> str:
        """Return the next line without consuming it."""
        self._row.clear()
        line = next(self, "")
        if line:
            self._pushed_back.appendleft(line)
            self.number -= 1
        return line

    def skip(self, count: int) -> None:
        for _ in range(count):
            self._row.clear()
            next(self, "")


class ObjectFile:
    """An NDJSON file: one JSON object per line."""

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
        """Yield each line's object, or its problem as a text. Numbers in the object are texts."""
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
                        yield line, _parse_object(text)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}.") from None
        except UnicodeError:
            raise UsageError(f"{self.name} is not UTF-8 (at or after line {line + 1}).",
                             hint="Save it as UTF-8.") from None  # fmt: skip


def _number_text(text: str) -> str:
    """Return a JSON number without an exponent: 1e3 is 1000, as in the HTTP API."""
    if "e" not in text.lower():
        return text
    number = Decimal(number_of(text))
    return f"{number:f}" if abs(number.adjusted()) <= MOST_DIGITS else text


def _parse_object(text: str) -> dict[str, Any] | str:
    try:
        parsed = parse_json(text, number=_number_text)
    except ValueError as error:
        error_text = str(error).removeprefix("it is not JSON: ").partition(" (line ")[0]
        return f"is not JSON ({error_text}); write one object a line"
    return parsed if isinstance(parsed, dict) else "is not an object; write one order a line"
