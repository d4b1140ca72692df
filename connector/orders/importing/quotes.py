"""Whether a quoted cell of several lines is one, or a quote that nobody closed has swallowed the rows after it. PURE.

A quote that swallows rows is closed by another row's quote. Each of these lines is a row of its own: it has all cells,
and they are alike, numbers where there are numbers and dates where there are dates. Prose, addresses and lists in a
cell have commas, too, but are not like that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_RUNS = ((re.compile(r"\d+"), "9"), (re.compile(r"[^\W\d_]+"), "a"))


def swallows(lines: Sequence[str], delimiter: str, quote: str, width: int) -> bool:
    """`lines`: those of one row; `width`: the cells that a row has."""
    if len(lines) < 2:
        return False
    first, *further = [line.rstrip("\r\n").split(delimiter) for line in lines if line.strip()]
    if any(len(cells) != width for cells in (first, *further)):
        return False
    return any(_alike(first, cells, quote) for cells in further)


def _alike(one: Sequence[str], other: Sequence[str], quote: str) -> bool:
    """Whether more than half of the cells, those with a quote apart, have the same shape, and one of these a digit."""
    pairs = [(_shape(a), _shape(b)) for a, b in zip(one, other, strict=True) if quote not in a + b]
    same = [a for a, b in pairs if a == b]
    return len(same) * 2 > len(pairs) and any("9" in shape for shape in same)


def _shape(cell: str) -> str:
    """Digits and letters without their number: C-17 is a-9."""
    for run, sign in _RUNS:
        cell = run.sub(sign, cell)
    return cell
