"""Tell a quoted cell with several lines from a quote that was never closed and contains the rows after it. PURE.

An unclosed quote ends at the next row's quote, so each of its lines is a complete row: it has the right number of
cells, with numbers and dates in the same columns. Prose, addresses and lists in a cell can have as many commas, but
their cells differ in shape.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_RUNS = ((re.compile(r"\d+"), "9"), (re.compile(r"[^\W\d_]+"), "a"))


def swallows_rows(lines: Sequence[str], delimiter: str, quote: str, width: int) -> bool:
    """Return whether the `lines` of one parsed row are several rows; `width` is the number of cells of a row."""
    if len(lines) < 2:
        return False
    first, *further = [line.rstrip("\r\n").split(delimiter) for line in lines if line.strip()]
    if any(len(cells) != width for cells in (first, *further)):
        return False
    return any(_alike(first, cells, quote) for cells in further)


def _alike(first: Sequence[str], second: Sequence[str], quote: str) -> bool:
    """Return whether more than half of the cells without a quote have the same shape, one of them with a digit."""
    pairs = [(_shape(a), _shape(b)) for a, b in zip(first, second, strict=True) if quote not in a + b]
    same = [a for a, b in pairs if a == b]
    return len(same) * 2 > len(pairs) and any("9" in shape for shape in same)


def _shape(cell: str) -> str:
    """Replace each run of digits by 9 and each run of letters by a: C-17 becomes a-9."""
    for run, sign in _RUNS:
        cell = run.sub(sign, cell)
    return cell
