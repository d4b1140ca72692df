"""The CSV of bulk jobs: dialects, headers, rows as request bodies, and lines of results."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from connector.localorg.write_plan import WritePlan

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
MAX_FIELDS = 5_000
MAX_CELL_CHARACTERS = 32_000  # in a cell, and in the header
MAX_RECORD_CHARACTERS = 400_000
NULL_CELL = "#N/A"

csv.field_size_limit(2**31 - 1)


class BadContentError(Exception):
    """The content cannot be used. The job fails with this message."""


@dataclass(frozen=True, slots=True)
class CsvDialect:
    delimiter: str = "COMMA"
    line_ending: str = "LF"

    def line(self, cells: Sequence[Any]) -> str:
        """Render one line. Every cell is quoted, as the platform does."""
        quoted = ('"' + ("" if cell is None else str(cell)).replace('"', '""') + '"' for cell in cells)
        return DELIMITERS[self.delimiter].join(quoted) + LINE_ENDINGS[self.line_ending]

    def rows(self, content: str) -> Iterator[list[str]]:
        """Yield the header and the rows. BadContentError if the content is not of this dialect."""
        first, newline, _ = content.partition("\n")
        if newline and first.endswith("\r") != (self.line_ending == "CRLF"):
            raise BadContentError(
                "ClientInputError : LineEnding is invalid on user data."
                f" Current LineEnding setting is {self.line_ending}"
            )
        if len(first) > MAX_CELL_CHARACTERS:
            raise BadContentError("ClientInputError : The header is longer than 32,000 characters")
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=DELIMITERS[self.delimiter], strict=True)
        try:
            for cells in reader:
                if cells:
                    yield _check_row(cells)
        except csv.Error as error:
            raise BadContentError(
                f"ClientInputError : Error parsing the CSV at line {reader.line_num}: {error}"
            ) from None


def _check_row(cells: list[str]) -> list[str]:
    if len(cells) > MAX_FIELDS:
        raise BadContentError("ClientInputError : A row has more than 5,000 fields")
    if sum(map(len, cells)) > MAX_RECORD_CHARACTERS or any(len(cell) > MAX_CELL_CHARACTERS for cell in cells):
        raise BadContentError("ClientInputError : A row or a field of it is too long")
    return cells


@dataclass(frozen=True, slots=True)
class CsvColumn:
    """A column: the `name` of a field, or of a field of the parent that `relationship` leads to; `kind` is the field's
    type.
    """

    name: str
    relationship: str = ""
    target: str = ""
    kind: str = ""


def parse_header(header: Sequence[str], plan: WritePlan) -> list[CsvColumn]:
    """Return the column behind each name. BadContentError names the first that is no field."""
    columns = [_parse_column(name, plan) for name in header]
    seen: set[str] = set()
    for name in header:
        if name.lower() in seen:
            raise BadContentError(f"InvalidBatch : Duplicate field name : {name}")
        seen.add(name.lower())
    return columns


def _parse_column(name: str, plan: WritePlan) -> CsvColumn:
    target, colon, rest = name.rpartition(":")
    relationship, dot, field = rest.rpartition(".")
    if dot and relationship.lower() in plan.relationships:
        return CsvColumn(field, relationship, target)
    entry = plan.inputs.get(name.lower())
    if colon or dot or entry is None or entry.field.type == "address":
        raise BadContentError(f"InvalidBatch : Field name not found : {name}")
    return CsvColumn(entry.name, kind=entry.field.type)


def row_to_body(columns: Sequence[CsvColumn], cells: Sequence[str]) -> dict[str, Any]:
    """Turn a row into a request body. An empty cell leaves the field as it is; `#N/A` sets it to null."""
    body: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        if cell == "":
            continue
        value: Any = None if cell == NULL_CELL else cell
        if column.kind == "boolean" and cell in {"1", "0"}:
            value = cell == "1"
        if not column.relationship:
            body[column.name] = value
        elif value is None:
            body[column.relationship] = None
        else:
            attributes = {"attributes": {"type": column.target}} if column.target else {}
            body[column.relationship] = {**attributes, column.name: value}
    return body
