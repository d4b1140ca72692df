"""How each row of a file becomes fields: the sections that read it, compiled for its header."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from operator import itemgetter
from typing import Any

from connector.model.keys import visible_key
from connector.orders.importing.fields import DAYS, KINDS, MOMENTS, NUMBERS, BadValueError, Form, Kind, Read, key, text
from connector.orders.importing.profile import Section, Value
from connector.orders.importing.reader import Table
from connector.orders.importing.spool import Columns
from connector.orders.importing.values import ABSENT, BLANK, Lookup, Source, compiled

REMEMBERED = 5_000
"""Values that are not read a second time, a field."""

SLOTS = {kind: {name: index for index, name in enumerate(KINDS[kind].fields)} for kind in KINDS}
KEY = 0
"""The slot of the key; of a line, that of its order's."""
NUMERIC = {kind: frozenset(slots[name] for name in NUMBERS & slots.keys()) for kind, slots in SLOTS.items()}
REMEMBERED_KINDS = MOMENTS | DAYS | NUMBERS | {"stage", "active", "ship_complete", "currency", "line"}

Convert = Callable[[str], Any]


class JoinError(Exception):
    """A key that cannot be joined; without words if that was said of the row it is joined to."""

    def __init__(self, what: str = "", sort: str = "") -> None:
        super().__init__(what)
        self.sort = sort


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a row, and in which column; `sort` as of BadValueError. No `what`: said elsewhere."""

    column: int
    header: str
    what: str
    sort: str = ""


@dataclass(slots=True)
class ColumnValues:
    """What a row says of one entity or line, by field (see `SLOTS`)."""

    values: list[Any]
    ranks: list[int]
    fault: Fault | None = None
    named: str | None = ""
    """What is seen of the key where it cannot be one; None where a join cannot tell it."""

    @property
    def whose(self) -> str:
        """The key, or what stands in its place: that one the row belongs to."""
        return self.values[0] or self.named or ""

    @property
    def names_none(self) -> bool:
        """Whether its key is empty."""
        return not self.whose and self.named is not None


@dataclass
class SectionPlan:
    """A section with the functions that read its fields from a row's cells."""

    kind: Kind
    name: str
    fields: list[tuple[int, Source, Convert, int, str]]
    columns: Columns
    raw: Callable[[list[str]], Any]
    counted: bool = False
    fixed: frozenset[str] = frozenset()
    """Fields that are a `const`."""
    seen: dict[str, Any] = field(default_factory=dict)
    """The last cells of an entity: the same again says nothing new."""

    def read(self, cells: list[str]) -> ColumnValues:
        size = len(self.kind.fields)
        said = ColumnValues([None] * size, [ABSENT] * size)
        values, ranks = said.values, said.ranks
        for slot, source, convert, column, header in self.fields:
            try:
                found, rank = source(cells)
                ranks[slot] = rank
                if found is not None:
                    values[slot] = convert(found)
            except BadValueError as error:
                ranks[slot] = BLANK
                said.fault = said.fault or Fault(column, header, str(error), error.kind)
                said.named = visible_key(found or "") if slot == KEY else said.named
            except JoinError as error:
                ranks[slot] = BLANK
                said.named = None if slot == KEY else said.named
                said.fault = said.fault or Fault(column, header, str(error), error.sort)
        return said

    def fault(self, field: str, what: str) -> Fault:
        column, header = self.columns.get(field, (1, ""))
        return Fault(column, header, what)

    def text_of(self, wanted: int, cells: list[str]) -> str:
        """What a broken row seems to have in that field, or nothing."""
        for slot, source, _, _, _ in self.fields:
            if slot == wanted:
                try:
                    return source(cells)[0] or ""
                except (IndexError, JoinError):
                    return ""
        return ""


def section_plan(name: str, section: Section, table: Table, form: Form, lookup: Lookup) -> SectionPlan:
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
            source = compiled(value, places, lookup)
            fields.append((SLOTS[name][field_name], source, convert(kind, field_name, form), *columns[field_name]))
    used = sorted({places[title] for value in values.values() for title in value.columns()})
    raw = itemgetter(*used) if used else lambda _: ()
    counted = "line" in values and values["line"].count
    fixed = frozenset(field for field, value in values.items() if value.const is not None)
    return SectionPlan(kind, name, fields, columns, raw, counted=counted, fixed=fixed)


def _title(value: Value) -> str:
    """The column that a fault of the field is told with: the first that it reads."""
    if value.first:
        return next((title for title in map(_title, value.first) if title), "")
    return value.on or value.column or value.when or ""


def convert(kind: Kind, name: str, form: Form) -> Convert:
    """From a text to its value, as the spool keeps it: numbers and dates as text again."""
    read = kind.fields[name]
    if read is key or read is text:
        return lambda value: read(value, form)
    if name not in REMEMBERED_KINDS:
        return lambda value: plain(read(value, form))
    return _remembering(read, form)


def _remembering(read: Read, form: Form) -> Convert:
    known: dict[str, Any] = {}

    def remembered(value: str) -> Any:
        found = known.get(value)
        if found is None:
            if len(known) >= REMEMBERED:
                known.clear()
            found = known[value] = plain(read(value, form))
        return found

    return remembered


def plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value


def columns_of(plans: Mapping[str, SectionPlan]) -> dict[str, Columns]:
    """By kind, as the spool keeps them; a price's are its product's."""
    found = {name: plan.columns for name, plan in plans.items()}
    return found | ({"prices": found["products"]} if "products" in found else {})
