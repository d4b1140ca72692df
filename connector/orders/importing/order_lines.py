"""The lines of an order as the rows of one or more files name them. PURE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connector.orders.importing.fields import NUMBERS, shown, typed_value

FIELDS = ("sku", "quantity", "unit_price", "discount")


@dataclass(frozen=True, slots=True)
class LineRow:
    """`number` None: it is to be counted. Values as of an Entity; a field that is not there is False."""

    number: int | None
    values: list[Any]
    file: int
    line: int


PlaceOf = Callable[[LineRow], str]
"""Where a row stands, as `file:line`."""


class LinesError(Exception):
    """Two rows that differ: the later one, the field, and what to say."""

    def __init__(self, row: LineRow, field: str, what: str) -> None:
        super().__init__(what)
        self.row = row
        self.field = field


def numbered(order: str, rows: Sequence[LineRow], place_of: PlaceOf) -> dict[int, LineRow]:
    """By line number. Rows that are to be counted are, file by file: an order that stands in two exports is not
    doubled. Rows that repeat must agree, empty cells apart. Raises LinesError."""
    found: dict[int, LineRow] = {}
    for row in _counted(order, [row for row in rows if row.number is None], place_of):
        found[row.number or 0] = row
    for row in rows:
        if row.number is not None:
            earlier = found.get(row.number)
            found[row.number] = row if earlier is None else _merged(order, earlier, row, place_of)
    return found


def _counted(order: str, rows: Sequence[LineRow], place_of: PlaceOf) -> list[LineRow]:
    by_file: dict[int, list[LineRow]] = {}
    for row in rows:
        by_file.setdefault(row.file, []).append(row)
    files = list(by_file.values())
    for later in files[1:]:
        if len(later) != len(files[0]) or any(_differing(a, b) for a, b in zip(files[0], later, strict=True)):
            where = place_of(files[0][0])
            what = f"order {shown(order)} has other lines here than in {where}; keep one of the two files' lines"
            raise LinesError(later[0], "order", what)
    first = files[0] if files else []
    return [LineRow(number, row.values, row.file, row.line) for number, row in enumerate(first, start=1)]


def _differing(one: LineRow, other: LineRow) -> list[int]:
    """Slots in which both say something, and not the same."""
    pairs = zip(FIELDS, one.values, other.values, strict=True)
    return [
        slot for slot, (name, a, b) in enumerate(pairs)
        if a not in (None, False) and b not in (None, False) and a != b
        and not (name in NUMBERS and Decimal(a) == Decimal(b))
    ]  # fmt: skip


def _merged(order: str, earlier: LineRow, row: LineRow, place_of: PlaceOf) -> LineRow:
    for slot in _differing(earlier, row):
        what = (
            f"line {row.number} of order {shown(order)} has {FIELDS[slot]} {shown(str(row.values[slot]))} here and"
            f" {shown(str(earlier.values[slot]))} in {place_of(earlier)}; keep one of the two"
        )
        raise LinesError(row, "line", what)
    values = [a if a not in (None, False) or b is False else b for a, b in zip(earlier.values, row.values, strict=True)]
    return LineRow(row.number, values, earlier.file, earlier.line)


def line_values(row: LineRow) -> dict[str, Any]:
    """The fields that the row has; None where the cell was empty."""
    return {
        name: typed_value(name, value) for name, value in zip(FIELDS, row.values, strict=True) if value is not False
    }
