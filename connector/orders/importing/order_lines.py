"""Number the lines of an order, and merge the rows of one line from one or more files. PURE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connector.orders.importing.field_parsers import NUMBERS, quote_value, typed_value

FIELDS = ("sku", "quantity", "unit_price", "discount")


@dataclass(frozen=True, slots=True)
class LineRow:
    """One row of a line. `number` None: the profile counts lines. `values` are in the order of FIELDS: None for an
    empty cell, False if there is no such column."""

    number: int | None
    values: list[Any]
    file: int
    line: int


PlaceOf = Callable[[LineRow], str]
"""Returns where a row is, as `file:line`."""


class LinesError(Exception):
    """Two rows of one line differ. `row` is the later one, `field` the field to point at."""

    def __init__(self, row: LineRow, field: str, what: str) -> None:
        super().__init__(what)
        self.row = row
        self.field = field


def number_lines(order: str, rows: Sequence[LineRow], place_of: PlaceOf) -> dict[int, LineRow]:
    """Return one row per line number.

    Rows without a number are numbered from 1 in each file, so that an order in two exports is not doubled. Rows of
    one number are merged; raises LinesError if they differ in a cell that is not empty.
    """
    by_number: dict[int, LineRow] = {}
    for row in _number_by_position(order, [row for row in rows if row.number is None], place_of):
        by_number[row.number or 0] = row
    for row in rows:
        if row.number is not None:
            earlier = by_number.get(row.number)
            by_number[row.number] = row if earlier is None else _merge_rows(order, earlier, row, place_of)
    return by_number


def _number_by_position(order: str, rows: Sequence[LineRow], place_of: PlaceOf) -> list[LineRow]:
    by_file: dict[int, list[LineRow]] = {}
    for row in rows:
        by_file.setdefault(row.file, []).append(row)
    files = list(by_file.values())
    for later in files[1:]:
        if len(later) != len(files[0]) or any(_differing_slots(a, b) for a, b in zip(files[0], later, strict=True)):
            where = place_of(files[0][0])
            what = f"order {quote_value(order)} has other lines here than in {where}; keep the lines of one file"
            raise LinesError(later[0], "order", what)
    first = files[0] if files else []
    return [LineRow(number, row.values, row.file, row.line) for number, row in enumerate(first, start=1)]


def _differing_slots(first: LineRow, second: LineRow) -> list[int]:
    """Return the slots in which both rows have a value and the values differ."""
    pairs = zip(FIELDS, first.values, second.values, strict=True)
    return [
        slot for slot, (name, a, b) in enumerate(pairs)
        if a not in (None, False) and b not in (None, False) and a != b
        and not (name in NUMBERS and Decimal(a) == Decimal(b))
    ]  # fmt: skip


def _merge_rows(order: str, earlier: LineRow, row: LineRow, place_of: PlaceOf) -> LineRow:
    for slot in _differing_slots(earlier, row):
        what = (
            f"line {row.number} of order {quote_value(order)} has {FIELDS[slot]} {quote_value(str(row.values[slot]))}"
            f" here and {quote_value(str(earlier.values[slot]))} in {place_of(earlier)}; keep one of the two"
        )
        raise LinesError(row, "line", what)
    values = [a if a not in (None, False) or b is False else b for a, b in zip(earlier.values, row.values, strict=True)]
    return LineRow(row.number, values, earlier.file, earlier.line)


def line_values(row: LineRow) -> dict[str, Any]:
    """Return the fields that the row has; None where the cell was empty."""
    return {
        name: typed_value(name, value) for name, value in zip(FIELDS, row.values, strict=True) if value is not False
    }
