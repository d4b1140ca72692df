"""Files to rows with their places. What cannot be read at all is refused before anything is stored."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connector.errors import UsageError
from connector.orders.importing.profile import Profile

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
        for line, cells in self._lines(skip=1):
            row = Row(self._path.name, line, dict(zip(self.header, cells, strict=False)), columns)
            if len(cells) != len(self.header):
                row.problem = f"has {len(cells)} cells where the header has {len(self.header)}; check the delimiter"
            yield row

    def _header(self) -> list[str]:
        first = next(self._lines(skip=0), None)
        if first is None:
            raise UsageError(f"{self._path.name} is empty; it needs a header line.")
        names = [name.strip() for name in first[1]]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"{self._path.name}:1: the header names {', '.join(map(repr, twice))} twice.")
        return names

    def _lines(self, *, skip: int) -> Iterator[tuple[int, list[str]]]:
        """Rows that are not blank, with the line each begins on."""
        profile = self._profile
        begins = 1
        reader: Any = None
        try:
            with self._path.open(encoding=profile.encoding, newline="") as file:
                reader = csv.reader(file, delimiter=profile.delimiter, quotechar=profile.quote, strict=True)
                for cells in reader:
                    if cells and any(cells):
                        if skip:
                            skip -= 1
                        else:
                            yield begins, cells
                    begins = reader.line_num + 1
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {error.strerror}.") from None
        except UnicodeError:
            line = reader.line_num + 1 if reader else 1
            raise UsageError(
                f"{self._path.name} is not {profile.encoding.removesuffix('-sig')} (at or after line {line}).",
                hint="Name its encoding in a profile.",
            ) from None
        except csv.Error as error:
            raise UsageError(
                f"{self._path.name}:{begins}: {error}.",
                hint="Check the quotes of that row, and the profile's delimiter.",
            ) from None


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
        raise UsageError(f"{path.name} is not UTF-8 (after line {line}).", hint="Save it as UTF-8.") from None
