"""Compile the forms of a profile to functions of a row's cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from connector.orders.importing.profile import Value

EXPLICIT, DEFAULT, BLANK, ABSENT = 0, 100, 200, 300
"""The rank of a value; the lowest wins. EXPLICIT: a cell has it (in `first`, the index of the form). DEFAULT: it is a
`const` or `default`. BLANK: the cell is empty. ABSENT: there is no such column."""

RankedText = tuple[str | None, int]
TextSource = Callable[[list[str]], RankedText]
Lookup = Callable[[Value], Callable[[str], str | None]]
"""Returns, for a join, a function from a key to the joined text."""

_NOTHING: RankedText = (None, BLANK)


def compile_value(value: Value, places: Mapping[str, int], lookup: Lookup) -> TextSource:
    """Compile `value`; `places` is the index of each column in a row."""
    table = value.values or {}
    missing = _NOTHING if value.default is None else (table.get(value.default, value.default), DEFAULT)
    if value.first:
        return _first(value, places, lookup, missing)
    if value.join:
        return _join(value, places, lookup, missing)
    if value.column is None:
        constant = _NOTHING if value.const is None else (value.const, DEFAULT)
        return lambda _: constant
    index = places[value.column]

    def cell(cells: list[str]) -> RankedText:
        text = cells[index].strip()
        return (table.get(text, text), EXPLICIT) if text else missing

    return cell


def _join(value: Value, places: Mapping[str, int], lookup: Lookup, missing: RankedText) -> TextSource:
    find, index, table = lookup(value), places[value.on or ""], value.values or {}

    def joined(cells: list[str]) -> RankedText:
        key = cells[index].strip()
        text = find(key) if key else None
        return (table.get(text, text), EXPLICIT) if text else missing

    return joined


def _first(value: Value, places: Mapping[str, int], lookup: Lookup, missing: RankedText) -> TextSource:
    cases = [
        (rank, None if case.when is None else places[case.when], compile_value(case, places, lookup))
        for rank, case in enumerate(value.first)
    ]

    def first(cells: list[str]) -> RankedText:
        for rank, when, source in cases:
            if when is not None and not cells[when].strip():
                continue
            text, text_rank = source(cells)
            if text is not None:
                return text, rank if text_rank == EXPLICIT or when is not None else DEFAULT
            if when is not None:
                break
        return missing

    return first
