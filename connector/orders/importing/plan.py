"""Compile the sections of a profile for the header of a file: functions that read fields from a row's cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from operator import itemgetter
from typing import Any

from connector.model.keys import visible_key
from connector.orders.importing.column_sources import ABSENT, BLANK, Lookup, TextSource, compile_value
from connector.orders.importing.field_parsers import (
    DAYS,
    KINDS,
    MOMENTS,
    NUMBERS,
    BadValueError,
    FieldReader,
    NumberAndDateFormat,
    RowKind,
    key,
    text,
)
from connector.orders.importing.profile import Section, Value
from connector.orders.importing.reader import Table
from connector.orders.importing.spool import Columns

CACHE_SIZE = 5_000
"""Converted values to cache per field."""

SLOTS = {kind: {name: index for index, name in enumerate(KINDS[kind].fields)} for kind in KINDS}
KEY = 0
"""The slot of the key; for a line, the slot of its order's number."""
NUMERIC = {kind: frozenset(slots[name] for name in NUMBERS & slots.keys()) for kind, slots in SLOTS.items()}
CACHED_FIELDS = MOMENTS | DAYS | NUMBERS | {"stage", "active", "ship_complete", "currency", "line"}

Convert = Callable[[str], Any]


class JoinError(Exception):
    """A key cannot be joined. The message is empty if the joined row was already reported."""

    def __init__(self, what: str = "", sort: str = "") -> None:
        super().__init__(what)
        self.sort = sort


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a row, and in which column. `sort` groups faults. An empty `what` is reported elsewhere."""

    column: int
    header: str
    what: str
    sort: str = ""


@dataclass(slots=True)
class ColumnValues:
    """The values that a row has for one entity or line, by the slot of the field (see `SLOTS`)."""

    values: list[Any]
    ranks: list[int]
    fault: Fault | None = None
    key_text: str | None = ""
    """The visible text of an invalid key; None if the key comes from a join that failed."""

    @property
    def owner_key(self) -> str:
        """The key of the entity that the row belongs to, or the text of an invalid key."""
        return self.values[0] or self.key_text or ""

    @property
    def has_empty_key(self) -> bool:
        """Whether the key's cell is empty."""
        return not self.owner_key and self.key_text is not None


@dataclass
class SectionPlan:
    """A section with the functions that read its fields from a row's cells."""

    kind: RowKind
    name: str
    fields: list[tuple[int, TextSource, Convert, int, str]]
    columns: Columns
    raw: Callable[[list[str]], Any]
    counted: bool = False
    fixed: frozenset[str] = frozenset()
    """Fields whose value is a `const`."""
    seen: dict[str, Any] = field(default_factory=dict)
    """The last cells of each entity, by key: a row with the same cells is skipped."""

    def read(self, cells: list[str]) -> ColumnValues:
        size = len(self.kind.fields)
        row = ColumnValues([None] * size, [ABSENT] * size)
        values, ranks = row.values, row.ranks
        for slot, source, convert, column, header in self.fields:
            try:
                text, rank = source(cells)
                ranks[slot] = rank
                if text is not None:
                    values[slot] = convert(text)
            except BadValueError as error:
                ranks[slot] = BLANK
                row.fault = row.fault or Fault(column, header, str(error), error.kind)
                row.key_text = visible_key(text or "") if slot == KEY else row.key_text
            except JoinError as error:
                ranks[slot] = BLANK
                row.key_text = None if slot == KEY else row.key_text
                row.fault = row.fault or Fault(column, header, str(error), error.sort)
        return row

    def fault(self, field: str, what: str) -> Fault:
        column, header = self.columns.get(field, (1, ""))
        return Fault(column, header, what)

    def text_of(self, index: int, cells: list[str]) -> str:
        """Return the text of the field in slot `index` of a row that cannot be parsed, or an empty text."""
        for slot, source, _, _, _ in self.fields:
            if slot == index:
                try:
                    return source(cells)[0] or ""
                except (IndexError, JoinError):
                    return ""
        return ""


def plan_section(name: str, section: Section, table: Table, form: NumberAndDateFormat, lookup: Lookup) -> SectionPlan:
    kind = KINDS[name]
    header = set(table.header)
    places = {title: index for index, title in reversed(list(enumerate(table.header)))}
    values = {
        field: value for field, value in section.fields.items() if not section.optional or value.columns() <= header
    }
    fields, columns = [], {}
    for field_name, value in values.items():
        title = _title(value)
        columns[field_name] = (places.get(title, 0) + 1, title)
        if not value.count:
            source = compile_value(value, places, lookup)
            fields.append(
                (SLOTS[name][field_name], source, make_converter(kind, field_name, form), *columns[field_name])
            )
    used = sorted({places[title] for value in values.values() for title in value.columns()})
    raw = itemgetter(*used) if used else lambda _: ()
    counted = "line" in values and values["line"].count
    fixed = frozenset(field for field, value in values.items() if value.const is not None)
    return SectionPlan(kind, name, fields, columns, raw, counted=counted, fixed=fixed)


def _title(value: Value) -> str:
    """Return the column that a fault of the field is reported with: the first that it reads."""
    if value.first:
        return next((title for title in map(_title, value.first) if title), "")
    return value.on or value.column or value.when or ""


def make_converter(kind: RowKind, name: str, form: NumberAndDateFormat) -> Convert:
    """Return a function from a text to the value that the spool stores: numbers and dates in canonical text."""
    read = kind.fields[name]
    if read is key or read is text:
        return lambda value: read(value, form)
    if name not in CACHED_FIELDS:
        return lambda value: to_spool_value(read(value, form))
    return _with_cache(read, form)


def _with_cache(read: FieldReader, form: NumberAndDateFormat) -> Convert:
    cache: dict[str, Any] = {}

    def convert_cached(value: str) -> Any:
        converted = cache.get(value)
        if converted is None:
            if len(cache) >= CACHE_SIZE:
                cache.clear()
            converted = cache[value] = to_spool_value(read(value, form))
        return converted

    return convert_cached


def to_spool_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value


def columns_of(plans: Mapping[str, SectionPlan]) -> dict[str, Columns]:
    """Return the columns by kind, as the spool stores them; prices have those of products."""
    columns = {name: plan.columns for name, plan in plans.items()}
    return columns | ({"prices": columns["products"]} if "products" in columns else {})
