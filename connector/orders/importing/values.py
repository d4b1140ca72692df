"""The forms of a profile as functions of a row's cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from connector.orders.importing.profile import Value

SAID, DEFAULT, BLANK, ABSENT = 0, 100, 200, 300
"""How firmly a row says something: a cell does (0; in `first`, the number of the form, the first being the firmest), a
`const` or `default` does for want of one, an empty cell does not, and a column that is not there even less."""

Told = tuple[str | None, int]
Source = Callable[[list[str]], Told]
Lookup = Callable[[Value], Callable[[str], str | None]]
"""Of a join: from a key to the text there."""

_NOTHING: Told = (None, BLANK)


def compiled(value: Value, places: Mapping[str, int], lookup: Lookup) -> Source:
    """`places`: the index of each named column."""
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

    def cell(cells: list[str]) -> Told:
        text = cells[index].strip()
        return (table.get(text, text), SAID) if text else missing

    return cell


def _join(value: Value, places: Mapping[str, int], lookup: Lookup, missing: Told) -> Source:
    find, index, table = lookup(value), places[value.on or ""], value.values or {}

    def joined(cells: list[str]) -> Told:
        key = cells[index].strip()
        text = find(key) if key else None
        return (table.get(text, text), SAID) if text else missing

    return joined


def _first(value: Value, places: Mapping[str, int], lookup: Lookup, missing: Told) -> Source:
    cases = [
        (rank, None if case.when is None else places[case.when], compiled(case, places, lookup))
        for rank, case in enumerate(value.first)
    ]

    def first(cells: list[str]) -> Told:
        for rank, when, source in cases:
            if when is not None and not cells[when].strip():
                continue
            text, said = source(cells)
            if text is not None:
                return text, rank if said == SAID or when is not None else DEFAULT
            if when is not None:
                break
        return missing

    return first
