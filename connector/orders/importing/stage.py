"""Rows to typed values on the spool: each field read by its kind, each fault told with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from connector.errors import UsageError
from connector.model.keys import visible_key
from connector.orders.importing.fields import KINDS, Form, Kind, shown
from connector.orders.importing.profile import Profile, Section, Value
from connector.orders.importing.reader import Place, Row, Table, ndjson
from connector.orders.importing.spool import Spool

Say = Callable[[str, Place, str], None]
"""kind, place, what is wrong and what to do."""


class Stage:
    """Reads the files of one import onto the spool."""

    def __init__(self, spool: Spool, say: Say) -> None:
        self._spool = spool
        self._say = say

    def tables(self, paths: Mapping[str, Path], profile: Profile) -> None:
        """`paths` by the file names of the profile. UsageError for a file or header that cannot be used."""
        tables = {name: Table(path, profile) for name, path in paths.items()}
        sections = {kind: item for kind, item in profile.sections.items() if item.file in tables}
        for kind, section in sections.items():
            _check_header(kind, section, tables[section.file], paths[section.file].name)
        joined = {
            value.join for section in sections.values() for item in section.fields.values() for value in item.joins()
        }
        lookups = {name: list(tables[name].rows()) for name in joined if name}
        for kind, section in sections.items():
            self._section(KINDS[kind], kind, section, tables[section.file], profile.form, lookups)

    def objects(self, path: Path) -> None:
        """NDJSON in our own form: an order a line, customer and lines nested."""
        file = self._spool.file(path.name, {})
        for line, found in ndjson(path):
            place = Place(path.name, line)
            if isinstance(found, str):
                self._say("orders", place, found)
                continue
            for kind, values in _unnested(found):
                if isinstance(values, str):
                    self._say(kind, place, values)
                    self._spoil(kind, found.get("number"), line)
                elif unknown := sorted(values.keys() - KINDS[kind].fields):
                    self._say(kind, place, f"unknown: {', '.join(unknown)}; take it out, or correct its name")
                    self._spoil(kind, found.get("number"), line)
                else:
                    row = Row(path.name, line, values)
                    texts = {name: (name, text) for name, text in values.items()}
                    self._keep(KINDS[kind], kind, row, texts, Form(), file, counting=False)

    def _section(
        self, kind: Kind, name: str, section: Section, table: Table, form: Form, lookups: Mapping[str, list[Row]]
    ) -> None:
        fields = {
            field: value
            for field, value in section.fields.items()
            if not section.optional or value.columns() <= set(table.header)
        }
        places = {header: index for index, header in enumerate(table.header, start=1)}
        columns = {field: _column(value, places) for field, value in fields.items()}
        sources = {field: _source(value, lookups) for field, value in fields.items()}
        counting = name == "lines" and "line" in fields and fields["line"].count
        file = None
        for row in table.rows():
            if file is None:
                file = self._spool.file(row.file, columns)
            if row.problem:
                self._say(name, row.place(None), row.problem)
                key = section.fields.get("order" if name == "lines" else "number")
                if key and key.column:
                    self._spoil(name, row.values.get(key.column), row.line)
                continue
            texts = {field: (columns[field][1], source(row.values)) for field, source in sources.items()}
            self._keep(kind, name, row, texts, form, file, counting=counting)

    def _keep(
        self,
        kind: Kind,
        name: str,
        row: Row,
        texts: Mapping[str, tuple[str, str | None]],
        form: Form,
        file: int,
        *,
        counting: bool,
    ) -> None:
        values: dict[str, Any] = {}
        fault: tuple[str | None, str] | None = None
        for field, (header, raw) in texts.items():
            stripped = raw.strip() if raw is not None else ""
            try:
                values[field] = kind.fields[field](stripped, form) if stripped else None
            except ValueError as error:
                fault = fault or (header, str(error))
        if counting and values.get("order") is not None:
            values["line"] = self._spool.next_line(values["order"])
        for key in kind.keys:
            if fault is None and values.get(key) is None:
                fault = (texts[key][0] if key in texts else None, f"is empty; it names the {kind.name}")
        if fault is not None:
            self._say(name, row.place(fault[0]), fault[1])
            self._spoil(name, values.get("order" if name == "lines" else "number"), row.line)
            return
        name_of, *more = (str(values.pop(key)) for key in kind.keys)
        sub = more[0] if more else (values.get("currency") or "" if name == "products" else "")
        earlier = self._spool.add(name, name_of, str(sub), values, file, row.line)
        if earlier is not None:
            last = kind.keys[-1]
            where = row.place(texts[last][0] if last in texts else None)
            what = f"{kind.name} {shown(name_of)} stands differently in line {earlier}; keep one of the two"
            self._say(name, where, what)
            self._spoil(name, name_of, row.line)

    def _spoil(self, kind: str, order: object, line: int) -> None:
        if kind in {"orders", "lines"} and isinstance(order, str) and (number := visible_key(order)):
            self._spool.spoil(number, line)


def _check_header(kind: str, section: Section, table: Table, file: str) -> None:
    wanted = {name: value.columns() for name, value in section.fields.items()}
    if section.optional:
        wanted = {name: columns for name, columns in wanted.items() if name in KINDS[kind].keys}
    missing = sorted({column for columns in wanted.values() for column in columns} - set(table.header))
    if missing:
        raise UsageError(f"{file} has no column {', '.join(missing)}.", hint=_header_hint(table.header))
    unknown = [name for name in table.header if section.optional and name not in KINDS[kind].fields]
    if unknown:
        close = get_close_matches(unknown[0], KINDS[kind].fields, n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(
            f"{file} has a column that is none of ours: {shown(unknown[0])}{meant}.",
            hint="Correct its name, take it out, or describe the file in a profile.",
        )


def _header_hint(header: list[str]) -> str:
    told = f"Its header has: {', '.join(shown(name)[1:-1] for name in header)}."
    mark = next((mark for mark in ";\t|," if len(header) == 1 and mark in header[0]), None)
    return told if mark is None else f"{told} Is {mark!r} the delimiter? A profile can say so."


def _column(value: Value, places: Mapping[str, int]) -> tuple[int, str]:
    header = value.on or value.column or next((item.when or item.column for item in value.first), None) or ""
    return places.get(header, 1), header


def _source(value: Value, lookups: Mapping[str, list[Row]]) -> Callable[[Mapping[str, str]], str | None]:
    """A function from the texts of a row to the text of the field."""
    if value.first:
        cases = [(case.when, _source(case, lookups)) for case in value.first]

        def first(row: Mapping[str, str]) -> str | None:
            return next((source(row) for when, source in cases if when is None or row[when].strip()), None)

        return first
    if value.join:
        found = {row.values.get(value.key or "", ""): row.values.get(value.column or "") for row in lookups[value.join]}
        return lambda row: found.get(row[value.on or ""])
    if value.column is None:
        return lambda _: value.const
    column, values, default = value.column, value.values, value.default

    def cell(row: Mapping[str, str]) -> str | None:
        text = row[column].strip() or default
        return values.get(text, text) if values and text is not None else text

    return cell


def _unnested(order: dict[str, Any]) -> Iterator[tuple[str, dict[str, str] | str]]:
    number = order.get("number")
    customer = order.pop("customer", None)
    lines = order.pop("lines", None)
    if isinstance(customer, dict):
        yield "customers", _texts(customer)
        order["customer"] = customer.get("number")
    elif customer is not None:
        order["customer"] = customer
    for index, line in enumerate(lines if isinstance(lines, list) else [], start=1):
        if not isinstance(line, dict):
            yield "lines", "a line is an object with sku and quantity"
        else:
            yield "lines", _texts({"line": str(index), **line, "order": number})
    if lines is not None and not isinstance(lines, list):
        yield "orders", "lines is a list of objects"
    elif lines == []:
        yield "orders", "lines is empty; leave it out to keep those there are, or cancel the order"
    else:
        yield "orders", _texts(order)


def _texts(values: dict[str, Any]) -> dict[str, str] | str:
    found = {}
    for name, value in values.items():
        if isinstance(value, bool):
            found[name] = str(value).lower()
        elif value is None or isinstance(value, str):
            found[name] = value or ""
        else:
            known = any(name in kind.fields for kind in KINDS.values())
            return (
                f"{name} is not a text or a number" if known else f"unknown: {name}; take it out, or correct its name"
            )
    return found
